package kernels

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
)

// The kernels as PTX, for machines without a compiler. make ptx writes the files from the texts
// beside them; TestPTXCurrent fails when a text has changed since.
//
//go:embed ptx/*.ptx.gz
var ptxFiles embed.FS

// PTXArch is the virtual architecture of PTX: the oldest for which the kernels are written, which
// the driver translates for its card.
const PTXArch = "compute_80"

// ptxVersion is the version of the language that the files claim: that of CUDA 12.0, the oldest
// driver that serves. A compiler writes its own, which older drivers refuse, although the kernels
// use nothing newer; ptxas agrees (TestPTX).
const ptxVersion = "8.0"

// PTX returns the kernels of a stem as PTX. An error means that the program was built wrongly.
func PTX(stem string) ([]byte, error) {
	raw, err := ptxFiles.ReadFile("ptx/" + stem + ".ptx.gz")
	if err != nil {
		return nil, fmt.Errorf("kernels: PTX: %w: make ptx writes it", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("kernels: PTX: %s: %w", stem, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("kernels: PTX: %s: %w", stem, err)
	}
	return text, nil
}

// ptxSource is the first line of a stem's PTX: which text it was made from.
func ptxSource(stem string) string {
	sum := sha256.Sum256([]byte(Text(stem)))
	return "// from a text of SHA-256 " + hex.EncodeToString(sum[:]) + "\n"
}
