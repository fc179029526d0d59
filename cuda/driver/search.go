package driver

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// names returns the sonames of a library, the preferred one first. major is the driver's CUDA
// version, whose own compiler fits best; 0 if unknown.
func (l Library) names(major int) []string {
	versions := func(stem string) []string {
		if major == 12 {
			return []string{stem + ".12", stem + ".13"}
		}
		return []string{stem + ".13", stem + ".12"}
	}
	switch l {
	case CUDA:
		return []string{"libcuda.so.1"} // never the stub libcuda.so
	case NVRTC:
		return versions("libnvrtc.so")
	case CuDNN:
		return []string{"libcudnn.so.9"}
	case CUPTI:
		return versions("libcupti.so")
	}
	return versions("libcublasLt.so")
}

// Variable returns the environment variable that names the library's file; "none" turns the
// library off.
func (l Library) Variable() string {
	return [...]string{"AFTERIMAGE_LIBCUDA", "AFTERIMAGE_NVRTC", "AFTERIMAGE_CUDNN",
		"AFTERIMAGE_CUBLASLT", "AFTERIMAGE_CUPTI"}[l]
}

// candidates returns what to try, in order: the library's environment variable alone if set; else
// the plain name (LD_LIBRARY_PATH, the linker's cache), the toolkit's folder (CUDA_PATH, CUDA_HOME,
// /usr/local/cuda), and the folders in which Python's packages keep these libraries (the active
// virtual environment, then that of the python3 on PATH, then the user's own). The preferred
// version comes before the other, wherever it is. off reports that the user turned it off.
func (l Library) candidates(env func(string) string, major int) (paths []string, off bool) {
	switch v := env(l.Variable()); v {
	case "":
	case "none":
		return nil, true
	default:
		return []string{v}, false
	}
	names := l.names(major)
	paths = append(paths, names...)
	if l == CUDA {
		return paths, false
	}
	for _, root := range []string{env("CUDA_PATH"), env("CUDA_HOME"), "/usr/local/cuda"} {
		if root != "" {
			paths = append(paths, existing(filepath.Join(root, "lib64"), names)...)
			if l == CUPTI {
				paths = append(paths, existing(filepath.Join(root, "extras/CUPTI/lib64"), names)...)
			}
		}
	}
	for _, site := range sitePackages(env) {
		for _, sub := range []string{"cu13/lib", l.wheel() + "/lib"} {
			paths = append(paths, existing(filepath.Join(site, "nvidia", sub), names)...)
		}
	}
	slices.SortStableFunc(paths, func(x, y string) int {
		return slices.Index(names, filepath.Base(x)) - slices.Index(names, filepath.Base(y))
	})
	return paths, false
}

// Program returns the path of one of the toolkit's programs: on PATH, in the toolkit's folder
// (CUDA_PATH, CUDA_HOME, /usr/local/cuda) or in those in which Python's packages keep them; "" if
// it is in none.
func Program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	roots := []string{os.Getenv("CUDA_PATH"), os.Getenv("CUDA_HOME"), "/usr/local/cuda"}
	for _, site := range sitePackages(os.Getenv) {
		roots = append(roots, filepath.Join(site, "nvidia/cu13"),
			filepath.Join(site, "nvidia/cu12"))
	}
	for _, root := range roots {
		if path := filepath.Join(root, "bin", name); root != "" && isFile(path) {
			return path
		}
	}
	return ""
}

// wheel is the library's own folder among Python's packages.
func (l Library) wheel() string {
	return [...]string{"", "cuda_nvrtc", "cudnn", "cublas", "cuda_cupti"}[l]
}

// existing returns the names that are files of dir, with dir.
func existing(dir string, names []string) []string {
	var out []string
	for _, n := range names {
		p := filepath.Join(dir, n)
		if _, err := os.Stat(p); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// sitePackages returns the package folders of the active virtual environment, of the python3 on
// PATH and of the user, found by their layout alone: no Python is started.
func sitePackages(env func(string) string) []string {
	var roots []string
	if v := env("VIRTUAL_ENV"); v != "" {
		roots = append(roots, v)
	}
	for _, dir := range filepath.SplitList(env("PATH")) {
		if python := filepath.Join(dir, "python3"); isFile(python) {
			roots = append(roots, prefixes(python)...)
			break
		}
	}
	if home := env("HOME"); home != "" { // pip install --user
		roots = append(roots, filepath.Join(home, ".local"))
	}
	var out []string
	for _, r := range roots {
		for _, pattern := range []string{"lib/python3*/site-packages", "lib/python3*/dist-packages",
			"lib/python3/dist-packages", "local/lib/python3*/dist-packages"} {
			found, _ := filepath.Glob(filepath.Join(r, pattern))
			sort.Sort(sort.Reverse(sort.StringSlice(found)))
			for _, f := range found {
				if !slices.Contains(out, f) {
					out = append(out, f)
				}
			}
		}
	}
	return out
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// prefixes returns the folders that may be the prefix of a Python program: that of its own folder
// and those of whatever it links to, step by step, since a link on PATH may lead into a virtual
// environment, whose program links to another again.
func prefixes(program string) (roots []string) {
	const steps = 8
	for range steps {
		dir, err := filepath.EvalSymlinks(filepath.Dir(program))
		if err != nil {
			break
		}
		roots = append(roots, filepath.Dir(dir))
		next, err := os.Readlink(filepath.Join(dir, filepath.Base(program)))
		if err != nil {
			break
		}
		if program = next; !filepath.IsAbs(next) {
			program = filepath.Join(dir, next)
		}
	}
	return roots
}

// companions returns the libraries that must be opened along with the one at path, because it looks
// for them by name and would take another version's from elsewhere: before it (before = true)
// NVRTC's built-in functions; after it every part of cuDNN in the same folder.
func (l Library) companions(path string, before bool) []string {
	var pattern string
	switch {
	case l == NVRTC && before:
		pattern = "libnvrtc-builtins.so.*"
	case l == CuDNN && !before:
		pattern = "libcudnn_*.so.9"
	default:
		return nil
	}
	if !strings.Contains(path, "/") {
		return nil // the linker's own search finds both
	}
	found, _ := filepath.Glob(filepath.Join(filepath.Dir(path), pattern))
	sort.Strings(found)
	return found
}
