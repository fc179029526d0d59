package ksim

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"afterimage/cuda/kernels"
)

//go:embed host/ksim.cc host/ksim.h host/ksim_device.h host/ksim_wgmma.h
var runtimeText embed.FS

var hostFiles = []string{"ksim.cc", "ksim.h", "ksim_device.h", "ksim_wgmma.h"}

// ErrUnavailable is behind every error that says the emulator cannot exist on this machine: another
// platform, no cgo, no C++ compiler. Tests skip on it, and fail on any other.
var ErrUnavailable = errors.New("the emulator needs Linux on x86-64, cgo and g++")

// compileFlags: no contraction, so that the emulator's arithmetic is IEEE's operation by operation;
// undefined behaviour traps; one name per section and unit, so that nothing is exported by chance.
var compileFlags = []string{"-std=c++17", "-O2", "-g1", "-fPIC", "-ffp-contract=off",
	"-fvisibility=hidden", "-fno-exceptions", "-fno-strict-aliasing", "-Wall", "-Werror",
	"-Wno-unknown-pragmas", "-Wno-unused-function", "-Wno-unused-variable", "-Wno-attributes",
	"-fsanitize=undefined", "-fno-sanitize=vptr", "-fsanitize-undefined-trap-on-error", "-DKSIM"}

// A Unit is one .cu translation unit for the emulator.
type Unit struct {
	Stem string // names the unit's section of shared variables: letters, digits and _
	Text string // complete: nothing but port.h's own host header is included
}

// Kernels returns the units of package kernels.
func Kernels() []Unit {
	var us []Unit
	for _, s := range kernels.Stems() {
		us = append(us, Unit{s, kernels.Text(s)})
	}
	return us
}

// Build compiles units and the emulator into a shared library with the interface of ksim.h and
// returns its path. The library lies in the user's cache folder under a hash of all texts and
// is reused. Errors: no g++, a compiler error with its output, an unwritable cache.
func Build(units []Unit) (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("ksim: Build: %w", ErrUnavailable)
	}
	gxx, err := exec.LookPath("g++")
	if err != nil {
		return "", fmt.Errorf("ksim: Build: %w: %w", ErrUnavailable, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("ksim: Build: %w", err)
	}
	out := filepath.Join(cache, "afterimage", "ksim", key(units)+".so")
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o777); err != nil {
		return "", fmt.Errorf("ksim: Build: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(out), "build-")
	if err != nil {
		return "", fmt.Errorf("ksim: Build: %w", err)
	}
	defer os.RemoveAll(work)
	if err := compile(gxx, work, units); err != nil {
		return "", err
	}
	return out, os.Rename(filepath.Join(work, "ksim.so"), out)
}

// key is a hash of all that goes into the library.
func key(units []Unit) string {
	h := sha256.New()
	for _, name := range hostFiles {
		text, _ := runtimeText.ReadFile("host/" + name) // embedded: cannot fail
		h.Write(text)
	}
	fmt.Fprintln(h, compileFlags)
	for _, u := range units {
		fmt.Fprintln(h, u.Stem, len(u.Text), u.Text, wrapper(u))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// compile writes all sources into work and makes work/ksim.so, units in parallel.
func compile(gxx, work string, units []Unit) error {
	for _, name := range hostFiles {
		text, _ := runtimeText.ReadFile("host/" + name)
		if err := os.WriteFile(filepath.Join(work, name), text, 0o666); err != nil {
			return fmt.Errorf("ksim: Build: %w", err)
		}
	}
	sources := []string{"ksim.cc"}
	for _, u := range units {
		for name, text := range map[string]string{u.Stem + ".cu": u.Text,
			u.Stem + ".cc": wrapper(u)} {
			if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o666); err != nil {
				return fmt.Errorf("ksim: Build: %w", err)
			}
		}
		sources = append(sources, u.Stem+".cc")
	}
	errs := make([]error, len(sources))
	objects := make([]string, len(sources))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for i, src := range sources {
		objects[i] = src + ".o"
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = run(work, gxx, append(compileFlags, "-I.", "-c", src, "-o", objects[i])...)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return run(work, gxx, append([]string{"-shared", "-o", "ksim.so"}, objects...)...)
}

func run(dir, name string, args ...string) error {
	c := exec.Command(name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("ksim: Build: %s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

var entryLine = regexp.MustCompile(
	`(?m)^extern "C" __global__ (?:__launch_bounds__\([^)]*\) )?void\s+(\w+)\((?:struct )?(\w+) a\)`)

// wrapper returns the C++ file around a unit: the kernels in a namespace of their own, and the
// table of their entry points.
func wrapper(u Unit) string {
	var table strings.Builder
	for _, m := range entryLine.FindAllStringSubmatch(u.Text, -1) {
		fmt.Fprintf(&table, "    {\"%s\", sizeof(%s), [](const void *a) { %s(*(const %s *)a); },\n"+
			"     __start_ksim_shared_%s, __stop_ksim_shared_%s},\n",
			m[1], m[2], m[1], m[2], u.Stem, u.Stem)
	}
	return strings.NewReplacer("@STEM", u.Stem, "@TABLE", table.String()).Replace(
		`#define KSIM_STEM "@STEM"
#include "ksim_device.h"
extern "C" char __start_ksim_shared_@STEM[], __stop_ksim_shared_@STEM[];
namespace {
static __attribute__((section("ksim_shared_@STEM"), used)) char anchor[64];
#include "@STEM.cu"
const ksim::Entry table[] = {
@TABLE};
ksim::Registration registration(table, sizeof table / sizeof table[0]);
}
`)
}
