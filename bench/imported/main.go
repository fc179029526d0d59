package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/onnx"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// The exit codes: requests could not be read or answered; the command was used wrongly.
const (
	exitFailed = 1
	exitUsage  = 2
)

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("imported", flag.ContinueOnError)
	flags.SetOutput(stderr)
	threads := flags.Int("threads", 0, "compute on `N` threads; 0: as many as there are processors")
	if flags.Parse(args) != nil {
		return exitUsage
	}
	if flags.NArg() > 0 || *threads < 0 {
		fmt.Fprintf(stderr, "imported: expected requests on standard input and -threads of 0 or more, "+
			"got %q and %d\n", flags.Args(), *threads)
		return exitUsage
	}
	b := cpu.Open(*threads)
	defer b.Close()
	s := &server{backend: b}
	defer s.drop()
	if err := s.serve(stdin, stdout); err != nil {
		fmt.Fprintln(stderr, "imported:", err)
		return exitFailed
	}
	return 0
}

// A request is what the script asks.
type request struct {
	Op       string  `json:"op"`       // open, values or time
	File     string  `json:"file"`     // of a network, to open
	Images   string  `json:"images"`   // file with images [N H W C], for values
	Out      string  `json:"out"`      // file that gets them
	Batch    int     `json:"batch"`    // images of a pass, to time
	Gradient bool    `json:"gradient"` // with the gradient of the images
	Least    int     `json:"least"`    // runs, at least
	Seconds  float64 `json:"seconds"`  // of all runs, at least
}

// A reply is the answer.
type reply struct {
	Error   string    `json:"error,omitempty"`
	Size    int       `json:"size,omitempty"`    // height and width of an opened network's images
	Classes int       `json:"classes,omitempty"` // number of its logits
	Seconds []float64 `json:"seconds,omitempty"` // of each run
}

// A server holds one opened network.
type server struct {
	backend   *cpu.Backend
	scope     *tensor.Scope // of its weights
	net       *onnx.Classifier
	inference *nn.Inference
}

// serve answers requests until the input ends.
func (s *server) serve(in io.Reader, out io.Writer) error {
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	for lines.Scan() {
		var q request
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return fmt.Errorf("a request is not a line of JSON: %w", err)
		}
		var a reply
		var err error
		misuse := tensor.Try(func() { a, err = s.answer(q) }) // a network that refuses its operands
		if err = errors.Join(err, misuse); err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

// answer does what a request asks.
func (s *server) answer(q request) (a reply, err error) {
	switch q.Op {
	case "open":
		return s.open(q.File)
	case "values":
		return a, s.values(q.Images, q.Out)
	case "time":
		return s.time(q)
	}
	return a, errors.New("expected op open, values or time")
}

func (s *server) open(file string) (reply, error) {
	s.drop()
	m, err := onnx.Open(file)
	if err != nil {
		return reply{}, err
	}
	s.scope = tensor.NewScope(s.backend)
	if s.net, err = onnx.NewClassifier(s.scope, m, onnx.ClassifierOptions{}); err != nil {
		return reply{}, err
	}
	s.inference = s.net.Inference(s.backend)
	return reply{Size: s.net.InputSize(), Classes: s.net.Classes()}, nil
}

// drop frees the network.
func (s *server) drop() {
	if s.inference != nil {
		s.inference.Close()
	}
	if s.scope != nil {
		s.scope.Close()
	}
	s.inference, s.net, s.scope = nil, nil, nil
}

// values writes the logits of the images in a file, and the gradient of Σ logits².
func (s *server) values(images, out string) error {
	f, err := checkpoint.Open(images)
	if err != nil {
		return err
	}
	a, err := f.Lookup("images")
	if err != nil {
		return err
	}
	if s.net == nil || a.DType != tensor.F32 || len(a.Shape) != 4 ||
		!slices.Equal(a.Shape[1:], s.shape(0)[1:]) {
		return fmt.Errorf("expected an opened network and its images, got %v %v", a.DType, a.Shape)
	}
	g := autodiff.NewGraph(s.backend)
	defer g.Close()
	logits, grad := s.gradient(g, tensor.FromSlice(g.Scope(), a.Float32s(), a.Shape...))
	w := checkpoint.NewFile()
	w.Set("logits", array(logits))
	w.Set("gradient", array(grad))
	return checkpoint.SaveSafetensors(out, w)
}

func array(v *autodiff.Value) checkpoint.Array {
	return checkpoint.FromFloat32s(v.Shape(), tensor.Host[float32](v.Tensor()))
}

// shape is that of n images.
func (s *server) shape(n int) tensor.Shape {
	return tensor.Shape{n, s.net.InputSize(), s.net.InputSize(), s.net.Channels()}
}

// gradient makes a pass on g and returns the logits and ∂Σ logits²/∂images.
func (s *server) gradient(
	g *autodiff.Graph, images *tensor.Tensor,
) (logits, grad *autodiff.Value) {
	x := g.Leaf(images)
	logits = s.net.Forward(nn.NewCtx(g, nn.Eval), x).Keep()
	return logits, autodiff.Grad(autodiff.Sum(autodiff.Square(logits)), []*autodiff.Value{x})[0]
}

// time measures passes on grey images with a pattern.
func (s *server) time(q request) (reply, error) {
	if s.net == nil || q.Batch < 1 {
		return reply{}, fmt.Errorf("expected an opened network and a batch of 1 or more, got %d", q.Batch)
	}
	shape := s.shape(q.Batch)
	images := make([]float32, shape.Size())
	for i := range images {
		images[i] = float32(i*7919%1009) / 1009 // neither constant nor with a short period
	}
	scope := s.scope.Child()
	defer scope.Close()
	x := tensor.FromSlice(scope, images, shape...)
	pass := func() {
		s.inference.Pass(func(c *nn.Ctx) { s.net.Forward(c, c.Graph.Const(x)) })
	}
	if q.Gradient {
		pass = func() {
			g := autodiff.NewGraph(s.backend)
			defer g.Close()
			s.gradient(g, x)
		}
	}
	pass()
	var a reply
	for begin := time.Now(); len(a.Seconds) < q.Least || time.Since(begin).Seconds() < q.Seconds; {
		start := time.Now()
		pass()
		a.Seconds = append(a.Seconds, time.Since(start).Seconds())
	}
	return a, nil
}
