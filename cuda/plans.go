package cuda

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"afterimage/cuda/driver"
	"afterimage/tensor/atomicfile"
)

// A planBook keeps which of cuDNN's plans every convolution was given, and which of cuBLASLt's
// algorithms every matrix product, in two places: in the user's cache folder, so that a shape is
// timed once for a card and a version of the library, and in a run, so that a run which is resumed
// rounds as before. The run's choices win.
type planBook struct {
	card string            // what the choices hold for
	all  map[string]choice // by the shape's name
	file string            // in the cache folder; "" without one
	run  string            // in a run; "" outside

	unsaved bool        // there are choices that no file has
	seen    os.FileInfo // the cache's file when it was last read

	changed func(shape string) // told of a run's choices that are made anew; may be nil
}

// plans is the content of a file of choices.
type plans struct {
	Card   string            `json:"card"`
	Shapes map[string]choice `json:"shapes"`
}

// card names what the heuristics' answers and the timings depend on.
func (b *Backend) card() string {
	s := fmt.Sprintf("%s, compute capability %d.%d, %d multiprocessors", b.info.Name, b.info.Major,
		b.info.Minor, b.info.Multiprocessors)
	if b.dnn != nil {
		s += ", cuDNN " + b.ctx.API().Found(driver.CuDNN).Version
	}
	if b.lt != nil {
		s += ", cuBLASLt " + b.ctx.API().Found(driver.CuBLASLt).Version
	}
	return s + b.mode.String()
}

// openPlanBook reads the card's choices from the cache folder beside that of compiled kernels.
func openPlanBook(card, kernels string) *planBook {
	k := &planBook{card: card, all: map[string]choice{}}
	if kernels == "" {
		return k
	}
	k.file = filepath.Join(kernels, "plans-"+cacheKey(card)+".json")
	k.look()
	return k
}

// String names a convolution in a file of choices.
func (s convSpec) String() string {
	dir := [...]string{forward: "forward", inputGrad: "input gradient",
		weightGrad: "weight gradient"}[s.dir]
	return fmt.Sprintf("%s %v to %v x%v w%v y%v stride %d %d pad %d %d %d %d dilation %d %d groups %d",
		dir, s.operand, s.result, s.x, s.w, s.y, s.p.StrideH, s.p.StrideW, s.p.PadTop, s.p.PadLeft,
		s.p.PadBottom, s.p.PadRight, s.p.DilH, s.p.DilW, s.p.Groups)
}

// get returns the choice for a shape, also one that another backend or process has put into the
// cache since this book was opened: who computes beside it then rounds alike.
func (k *planBook) get(shape string) (choice, bool) {
	c, ok := k.all[shape]
	if !ok {
		k.look()
		c, ok = k.all[shape]
	}
	return c, ok
}

// look takes over what is new in the cache, if the file is another than when it was last read.
func (k *planBook) look() {
	info, err := os.Stat(k.file)
	if err != nil || k.seen != nil && os.SameFile(info, k.seen) && info.Size() == k.seen.Size() &&
		info.ModTime().Equal(k.seen.ModTime()) {
		return
	}
	k.seen = info
	if p, err := readPlans(k.file); err == nil && p.Card == k.card { // only a cache
		for name, c := range p.Shapes {
			if _, ours := k.all[name]; !ours {
				k.all[name] = c
			}
		}
	}
}

// rechoose tells a run's user that the choice for a shape is made anew; put replaces it.
func (k *planBook) rechoose(shape string) {
	if k.run != "" && k.changed != nil {
		k.changed(shape)
	}
}

// put keeps a choice; write puts it on the disk.
func (k *planBook) put(shape string, c choice) { k.all[shape], k.unsaved = c, true }

// write writes what was put since the last time: once for many shapes, and before anything that was
// computed by these choices is read, so that a run which is killed loses none that it depends on.
// That nothing serves a shape is kept in the run alone, where it decides last digits: the cause may
// be gone tomorrow. The error is the run's file alone: without it a run cannot be resumed to the
// same bytes.
func (k *planBook) write() error {
	if k == nil || !k.unsaved {
		return nil
	}
	k.unsaved = false
	if k.file != "" {
		k.look()
		all := maps.Clone(k.all)
		maps.DeleteFunc(all, func(_ string, c choice) bool { return c == none() })
		_ = os.MkdirAll(filepath.Dir(k.file), 0o755) // a cache: the write below fails then, too
		_ = writePlans(k.file, plans{k.card, all})
	}
	return k.keep()
}

// keep writes the choices into the run.
func (k *planBook) keep() error {
	if k.run == "" {
		return nil
	}
	return writePlans(k.run, plans{k.card, k.all})
}

// KeepPlans makes the file at path, in a run, the place where the choices among the plans of cuDNN
// and cuBLASLt are kept from now on. What the file holds already is used instead of the machine's
// own cache, so that a resumed run computes with the plans it began with; plans in use that differ
// are given up. If the file's choices are for another card or other versions of the libraries they
// cannot be used: foreign then says which. changed, if not nil, is called with a shape whose choice
// a library does not offer any more, before it is made anew: while something is computed, so it
// must not use the backend. A choice that cannot be had since a call of the library fails, for lack
// of memory perhaps, is a failure of the device instead, which Sync returns: the run can be
// resumed. Without the libraries nothing happens. Errors: a file that cannot be read, is damaged,
// or cannot be written.
func (b *Backend) KeepPlans(path string, changed func(shape string)) (foreign string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.book == nil {
		return "", nil
	}
	p, err := readPlans(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	case p.Card != b.book.card:
		foreign = p.Card
	default:
		maps.Copy(b.book.all, p.Shapes)
		b.giveUpOthers()
	}
	b.book.run, b.book.changed = path, changed
	return foreign, b.book.keep()
}

// giveUpOthers closes plans in use that are not the book's choice.
func (b *Backend) giveUpOthers() {
	if b.settle() != nil { // a device that has failed says so elsewhere
		return
	}
	differs := func(shape string, used *choice) bool {
		c, known := b.book.get(shape)
		if !known || used == nil {
			return known && !c.own()
		}
		return c.Mode != used.Mode || c.Place != used.Place
	}
	b.x.do(func() error {
		if b.dnn != nil {
			b.dnn.giveUp(b.ctx, differs)
		}
		if b.lt != nil {
			b.lt.giveUp(b.ctx, differs)
		}
		return nil
	})
}

// A file of choices begins with a line "sha256 HEX" of what follows, which is JSON.
const planMagic = "sha256 "

// mostPlans bounds a file's size: thousands of times what a network's shapes take.
const mostPlans = 64 << 20

// readPlans reads a file of choices. The error names the file, and what to do about a damaged one.
func readPlans(path string) (plans, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > mostPlans {
		return plans{}, fmt.Errorf("cuda: %s has %d bytes: no file of plans is that long",
			path, info.Size())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return plans{}, fmt.Errorf("cuda: plans: %w", err)
	}
	p, err := parsePlans(raw)
	if err != nil {
		return plans{}, fmt.Errorf("cuda: %s: %w: remove it to choose plans afresh, which may change "+
			"last digits", path, err)
	}
	return p, nil
}

// parsePlans checks and decodes the bytes of a file of choices.
func parsePlans(raw []byte) (plans, error) {
	line, text, found := bytes.Cut(raw, []byte("\n"))
	sum := sha256.Sum256(text)
	if !found || string(line) != planMagic+hex.EncodeToString(sum[:]) {
		return plans{}, errors.New("its checksum does not fit: expected a first line \"sha256 …\" of " +
			"the rest")
	}
	var p plans
	if err := json.Unmarshal(text, &p); err != nil {
		return plans{}, fmt.Errorf("no file of plans: %w", err)
	}
	for name, c := range p.Shapes {
		modes := []int64{hopperMode, none().Mode, heurProducts, heurModeA, heurModeFallback}
		if !slices.Contains(modes, c.Mode) || c.Place < 0 || c.Place >= mostConfigs {
			return plans{}, fmt.Errorf("shape %q: mode %d, place %d: expected a mode of %d and a place "+
				"from 0 to %d", name, c.Mode, c.Place, modes, mostConfigs-1)
		}
	}
	if p.Shapes == nil {
		p.Shapes = map[string]choice{}
	}
	return p, nil
}

// writePlans writes a file of choices, whole or not at all.
func writePlans(path string, p plans) error {
	text, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return fmt.Errorf("cuda: plans: %w", err)
	}
	return atomicfile.WriteBytes(path, sealed(append(text, '\n')))
}

// sealed puts the line with its checksum before a text.
func sealed(text []byte) []byte {
	sum := sha256.Sum256(text)
	return append([]byte(planMagic+hex.EncodeToString(sum[:])+"\n"), text...)
}
