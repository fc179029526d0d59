package atomicfile_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"afterimage/tensor/atomicfile"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "notes")
	if err := atomicfile.WriteBytes(path, []byte("whole")); err != nil {
		panic(err)
	}
	err = atomicfile.Write(path, func(w io.Writer) error {
		fmt.Fprint(w, "half")
		return fmt.Errorf("out of ideas")
	})
	kept, _ := os.ReadFile(path)
	fmt.Println(err != nil, string(kept))
	// Output: true whole
}
