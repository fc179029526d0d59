package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"afterimage/cuda/driver"
	"afterimage/cuda/kernels"
)

// modules holds the compiled kernels of one device: texts are compiled when a kernel of theirs is
// first launched, or all at once by compileAll.
type modules struct {
	ctx   *driver.Context
	arch  string // "sm_90a"
	cache cache

	mu        sync.Mutex
	loaded    map[string]uint64 // stem → module
	functions map[string]*function
}

// A function is a loaded entry point.
type function struct {
	handle uint64
	shared uint32 // dynamic shared memory it may use
}

// defaultShared is the dynamic shared memory that every launch may ask for.
const defaultShared = 48 << 10

// architecture names the target for NVRTC: from 9.0 on the variant with the card's own
// instructions.
func architecture(major, minor int) string {
	if major >= 9 {
		return fmt.Sprintf("sm_%d%da", major, minor)
	}
	return fmt.Sprintf("sm_%d%d", major, minor)
}

func newModules(ctx *driver.Context, arch, dir string) *modules {
	return &modules{ctx: ctx, arch: arch, cache: cache{dir}, loaded: map[string]uint64{},
		functions: map[string]*function{}}
}

// function returns an entry point, ready for launches with that much dynamic shared memory.
func (m *modules) function(entry string, shared uint32) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.functions[entry]
	if f == nil {
		var err error
		if f, err = m.find(entry); err != nil {
			return 0, err
		}
		m.functions[entry] = f
	}
	if shared > f.shared {
		err := m.ctx.SetFunctionAttribute(f.handle, driver.MaxDynamicShared, int(shared))
		if err != nil {
			return 0, fmt.Errorf("kernel %s asks for %d bytes of shared memory: %w", entry, shared, err)
		}
		f.shared = shared
	}
	return f.handle, nil
}

// find loads the module of an entry point if need be.
func (m *modules) find(entry string) (*function, error) {
	e, ok := kernels.Entries()[entry]
	if !ok {
		return nil, fmt.Errorf("there is no kernel %s", entry)
	}
	mod, ok := m.loaded[e.Stem]
	if !ok {
		image, err := m.image(e.Stem)
		if err != nil {
			return nil, err
		}
		if mod, err = m.ctx.LoadModule(image); err != nil {
			return nil, m.explain(e.Stem, err)
		}
		m.loaded[e.Stem] = mod
	}
	h, err := m.ctx.Function(mod, entry)
	if err != nil {
		return nil, err
	}
	// Asking about a function loads its code, which the driver else puts off to the first launch: one
	// that may be recorded, when nothing can be loaded.
	if _, err := m.ctx.FunctionAttribute(h, driver.Registers); err != nil {
		return nil, err
	}
	return &function{h, defaultShared}, nil
}

// image returns the kernels of a stem in a form that the driver loads: compiled for the card, or
// without a compiler the PTX that is part of this program, which the driver translates.
func (m *modules) image(stem string) ([]byte, error) {
	if m.ctx.API().Found(driver.NVRTC).Err != nil {
		return kernels.PTX(stem)
	}
	image, err := m.compile(stem, m.arch, false)
	var e *driver.Error
	if errors.As(err, &e) && e.Library == driver.NVRTC && e.Code == nvrtcInvalidOption {
		return m.compile(stem, kernels.PTXArch, true) // a compiler older than the card
	}
	return image, err
}

// from says what the kernels come from, for the record of a run.
func (m *modules) from() string {
	c := m.ctx.API().Found(driver.NVRTC)
	if c.Err != nil {
		return "PTX for " + kernels.PTXArch
	}
	return "NVRTC " + c.Version
}

// What NVRTC answers to an architecture it does not know.
const (
	nvrtcInvalidOption = 5 // NVRTC_ERROR_INVALID_OPTION
)

// compile compiles a text to a cubin or to PTX, or finds it in the cache. No fast-math: kernels
// promise IEEE arithmetic.
func (m *modules) compile(stem, arch string, ptx bool) ([]byte, error) {
	api := m.ctx.API()
	text, options := kernels.Text(stem), []string{"--gpu-architecture=" + arch, "--std=c++17"}
	key := cacheKey(append([]string{text, api.Found(driver.NVRTC).Version}, options...)...)
	if image, ok := m.cache.get(key); ok {
		return image, nil
	}
	image, err := api.Compile(text, stem+".cu", options, ptx)
	if err == nil {
		m.cache.put(key, image)
	}
	return image, err
}

// explain adds what to do when a driver refuses what the compiler made.
func (m *modules) explain(stem string, err error) error {
	switch driver.Code(err) {
	case driver.InvalidImage, driver.NoBinary, driver.InvalidPTX, driver.UnsupportedPTX:
		api := m.ctx.API()
		if api.Found(driver.NVRTC).Err != nil {
			return fmt.Errorf("%s.cu, this program's PTX, does not load: %w: install CUDA's run-time "+
				"compiler (libnvrtc, for example the Python package nvidia-cuda-nvrtc) or set %s to its "+
				"file", stem, err, driver.NVRTC.Variable())
		}
		return fmt.Errorf("%s.cu, compiled for %s by %v, does not load: %w: a compiler newer than the "+
			"driver makes such; point %s at one of CUDA %s or older, or set it to none for this "+
			"program's PTX", stem, m.arch, api.Found(driver.NVRTC), err, driver.NVRTC.Variable(),
			api.Found(driver.CUDA).Version)
	}
	return fmt.Errorf("%s.cu: %w", stem, err)
}

// compileAll compiles whatever is not in the cache yet, several texts at a time, and loads all
// modules. It returns the first failure.
func (m *modules) compileAll() error {
	stems := kernels.Stems()
	errs := make([]error, len(stems))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for i, s := range stems {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			_, errs[i] = m.image(s)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	for name := range kernels.Entries() {
		if _, err := m.function(name, 0); err != nil {
			return err
		}
	}
	return nil
}

// A Kernel is what the compiler made of one entry point.
type Kernel struct {
	Name      string `json:"name"`
	Stem      string `json:"stem"` // its file
	Registers int    `json:"registers"`
	Local     int    `json:"local_bytes"` // per thread: spilled registers and arrays
}

// CompiledKernels compiles and loads everything and returns all entry points, sorted by name.
func (b *Backend) CompiledKernels() ([]Kernel, error) {
	if err := b.mods.compileAll(); err != nil {
		return nil, err
	}
	var out []Kernel
	for name, e := range kernels.Entries() {
		f, err := b.mods.function(name, 0)
		if err != nil {
			return nil, err
		}
		k := Kernel{Name: name, Stem: e.Stem}
		if k.Registers, err = b.ctx.FunctionAttribute(f, driver.Registers); err != nil {
			return nil, err
		}
		if k.Local, err = b.ctx.FunctionAttribute(f, driver.LocalBytes); err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	slices.SortFunc(out, func(x, y Kernel) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

// close unloads everything.
func (m *modules) close() {
	for _, mod := range m.loaded {
		m.ctx.UnloadModule(mod)
	}
}
