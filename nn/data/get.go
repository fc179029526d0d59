package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"afterimage/tensor/atomicfile"
)

// GetOptions are the choices of Get. The zero value is ready to use.
type GetOptions struct {
	Client *http.Client // nil: a client that waits 30 s for an answer
	// Mirrors are base addresses tried first: MIRROR/cifar-10-binary.tar.gz.
	Mirrors []string
	// Progress, if not nil, is told how many bytes of a file are there.
	Progress func(file string, done, total int64)
	// Stall is how long a transfer may bring nothing before it is given up; 0: 30 s.
	Stall time.Duration
}

// attempts is how often one mirror is tried again after a broken transfer; each try goes on
// where the last one stopped.
const attempts = 3

// Get downloads a public dataset ("cifar-10", "cifar-100", "mnist" or "fashion-mnist") into its
// folder below dir, where Open finds it. What is there already and has the right digest is kept,
// other files of the same names are replaced.
//
// Every file is written to NAME.part, which a later call takes up again where it ended (HTTP
// Range requests), checked against its published SHA-256 and only then renamed or unpacked.
// Mirrors are tried in turn. When none works, for want of a network or because all of them give
// other bytes, the error says which files to put where by hand; it is no *FileError, since nobody
// gave those files. Failures to write (a full disk) are returned as they are, wrapped.
func Get(ctx context.Context, name, dir string, o GetOptions) error {
	set, err := findRemote(name)
	if err != nil {
		return err
	}
	return getSet(ctx, set, dir, o)
}

// getSet fetches every file of a set.
func getSet(ctx context.Context, set remoteSet, dir string, o GetOptions) error {
	if o.Client == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = 30 * time.Second
		o.Client = &http.Client{Transport: t}
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	folder := filepath.Join(dir, set.folder)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return fmt.Errorf("data: Get %s: %w: give a folder that can be written", set.name, err)
	}
	for _, f := range set.files {
		g := &getter{o: o, set: set, file: f, folder: folder}
		if err := g.get(ctx); err != nil {
			return err
		}
	}
	return nil
}

// A getter fetches one file.
type getter struct {
	o      GetOptions
	set    remoteSet
	file   remoteFile
	folder string // where the result goes
}

// target is where the finished download lies: what is unpacked lies beside its folder.
func (g *getter) target() string {
	if g.file.unpack != nil {
		return filepath.Join(filepath.Dir(g.folder), g.file.name)
	}
	return filepath.Join(g.folder, g.file.name)
}

func (g *getter) part() string { return g.target() + ".part" }

// get downloads, checks and unpacks the file unless all of that has been done.
func (g *getter) get(ctx context.Context) error {
	if g.present() {
		return nil
	}
	archive := g.target()
	byHand := g.file.unpack != nil && matches(archive, g.file.sha256)
	if !byHand {
		if err := g.download(ctx); err != nil {
			return err
		}
		archive = g.part()
	}
	if g.file.unpack == nil {
		if err := atomicfile.Rename(g.part(), g.target()); err != nil {
			return fmt.Errorf("data: Get %s: %w", g.set.name, err)
		}
		return nil
	}
	if err := unpackTarGz(archive, g.folder, g.file.unpack); err != nil {
		var fe *FileError
		if errors.As(err, &fe) {
			fe.Op, fe.Next = "Get "+g.set.name, "remove it and try again"
			return fe
		}
		return fmt.Errorf("data: Get %s: %w", g.set.name, err)
	}
	if byHand {
		return nil
	}
	return os.Remove(archive)
}

// present reports whether the result is there. Files of unknown digest count if they exist.
func (g *getter) present() bool {
	if g.file.unpack == nil {
		return matches(g.target(), g.file.sha256)
	}
	for name, sum := range g.file.unpack {
		p := filepath.Join(g.folder, name)
		if sum == "" && !isFile(p) || sum != "" && !matches(p, sum) {
			return false
		}
	}
	return true
}

// matches reports whether a file exists and has the given SHA-256.
func matches(path, sum string) bool {
	got, err := fileSHA256(path)
	return err == nil && got == sum
}

// fileSHA256 returns the digest of a file in hexadecimal.
func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// download fills the .part file from the first mirror that gives the right bytes.
func (g *getter) download(ctx context.Context) error {
	var tried []string
	for _, base := range append(append([]string(nil), g.o.Mirrors...), g.file.bases...) {
		address := strings.TrimSuffix(base, "/") + "/" + g.file.name
		err := g.fromMirror(ctx, address)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("data: Get %s: %s: stopped; run the command again to go on: %w",
				g.set.name, g.file.name, ctx.Err())
		}
		var local *fs.PathError
		if errors.As(err, &local) {
			return fmt.Errorf("data: Get %s: %w", g.set.name, err)
		}
		tried = append(tried, fmt.Sprintf("%s (%v)", address, shortCause(err)))
	}
	next := fmt.Sprintf(
		"run the command again when online, or download %s by hand (see %s) and put it at %s",
		g.file.name, g.set.page, g.target())
	return fmt.Errorf(
		"data: Get %s: %s: no mirror gave the file: expected %d bytes with SHA-256 %s, got %s: %s",
		g.set.name, g.file.name, g.file.size, g.file.sha256, strings.Join(tried, "; "), next)
}

// shortCause removes the address net/http repeats in its errors.
func shortCause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// fromMirror tries one address: again after a broken transfer, and from the beginning if what an
// earlier call had left turns out to be something else.
func (g *getter) fromMirror(ctx context.Context, address string) (err error) {
	for range attempts {
		info, statErr := os.Stat(g.part())
		again := false
		if again, err = g.transfer(ctx, address); err == nil {
			if err = g.verify(); err == nil {
				return nil
			}
			again = statErr == nil && info.Size() > 0
		}
		if !again || ctx.Err() != nil {
			break
		}
	}
	return err
}

// verify checks the digest of the finished .part file and removes it if it is wrong.
func (g *getter) verify() error {
	sum, err := fileSHA256(g.part())
	if err != nil || sum == g.file.sha256 {
		return err
	}
	if err := os.Remove(g.part()); err != nil {
		return err
	}
	return fmt.Errorf("wrong SHA-256 %s", sum)
}
