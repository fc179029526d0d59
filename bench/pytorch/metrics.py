"""Goldens of gan/metrics: distances of samples by SciPy and scikit-learn, image measures by
scikit-image."""

import numpy as np
import torch
from scipy.linalg import sqrtm
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from record import Golden


def frechet(a, b):
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^1/2), Heusel et al. 2017, by SciPy's Schur
    method."""
    sa, sb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(sa @ sb)
    assert np.abs(np.imag(root)).max() < 1e-6
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sa + sb - 2 * np.real(root))


def kernel_distance(a, b):
    """The unbiased squared MMD with kernel (x.y/d + 1)^3, Binkowski et al. 2018, of the whole
    samples."""
    k = lambda x, y: polynomial_kernel(x, y, degree=3, gamma=1 / a.shape[1], coef0=1)
    within = lambda x: (k(x, x).sum() - np.trace(k(x, x))) / (len(x) * (len(x) - 1))
    return within(a) + within(b) - 2 * k(a, b).mean()


def covered(real, fake, k):
    """The share of fake that lies within the k-th neighbour's distance of a real point
    (Kynkaanniemi et al. 2019)."""
    # The first is the point itself.
    radius = NearestNeighbors(n_neighbors=k + 1).fit(real).kneighbors(real)[0][:, k]
    distance = np.linalg.norm(fake[:, None] - real[None], axis=2)
    return (distance <= radius).any(1).mean()


def write():
    g = Golden("gan/metrics/testdata/metrics.safetensors")
    a, b = g.normal(60, 5), 0.7 * g.normal(45, 5) + 0.5
    mix = g.normal(5, 5)
    b = b @ mix / 2
    g.put("in/a", a)
    g.put("in/b", b)
    x, y = a.numpy(), b.numpy()
    n = min(len(x), len(y))
    g.put("frechet", torch.tensor([frechet(x, y), frechet(y, x)]))
    g.put("KID", torch.tensor([kernel_distance(x[:n], y[:n])]))
    for k in (3, 5):
        g.put(f"precision, recall k={k}", torch.tensor([covered(x, y, k), covered(y, x, k)]))

    # Images in [0, 1] as float32 holds them, since ours are.
    p = g.uniform(0, 1, 2, 14, 17, 3).float().double()
    q = (p + 0.2 * g.normal(*p.shape)).clamp(0, 1).float().double()
    g.put("in/p", p)
    g.put("in/q", q)
    pairs = [(s.numpy(), t.numpy()) for s, t in zip(p, q)]
    g.put("PSNR", torch.tensor([peak_signal_noise_ratio(s, t, data_range=1) for s, t in pairs]))
    g.put("SSIM uniform", torch.tensor([structural_similarity(s, t, data_range=1, channel_axis=2)
                                        for s, t in pairs]))
    g.put("SSIM Gaussian", torch.tensor([structural_similarity(
        s, t, data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False)
        for s, t in pairs]))
    return g.save()
