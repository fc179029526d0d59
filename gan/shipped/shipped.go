package shipped

import (
	"embed"
	"io/fs"
	"slices"
	"strings"

	"afterimage/gan"
	"afterimage/tensor"
)

//go:embed weights
var files embed.FS

// Prefix marks a name of shipped weights where a path is expected: "shipped:scenes-robust".
const Prefix = "shipped:"

// Names returns the names of the shipped inverters, sorted.
func Names() []string {
	entries, _ := fs.ReadDir(files, "weights") // embedded: it is there
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}

// Open reads the shipped inverter called name, with its classifier, into s. It returns an error
// that lists the names there are if there is no such one.
func Open(s *tensor.Scope, name string) (*gan.Inverter, error) {
	if !slices.Contains(Names(), name) {
		return nil, tensor.Refuse("shipped: no weights %q: expected one of %s", name,
			strings.Join(Names(), ", "))
	}
	return gan.OpenInverterFS(s, files, "weights/"+name)
}
