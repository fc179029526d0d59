package autodiff_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"strings"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// open returns a graph on a backend that poisons freed memory, and its leaves for a sample.
func open(t testing.TB, in []input) (graph, vals) {
	g := ad.NewGraph(ref.New(ref.WithPoison()))
	t.Cleanup(g.Close)
	vs := make(vals, len(in))
	for i, p := range in {
		vs[i] = g.Leaf(tensor.FromSlice(g.Scope(), p.Data, p.Shape...))
	}
	return g, vs
}

func each(t *testing.T, f func(t *testing.T, s sample)) {
	count := map[string]int{}
	for _, s := range samples() {
		count[s.name]++
		t.Run(fmt.Sprintf("%s/%d", s.name, count[s.name]), func(t *testing.T) { f(t, s) })
	}
}

func TestDerivatives(t *testing.T) {
	each(t, func(t *testing.T, s sample) {
		if s.kind == constant {
			g, in := open(t, s.in)
			if s.f(g, in).NeedsGrad() {
				t.Errorf("%s is declared constant but asks for a gradient", s.name)
			}
			return
		}
		gradcheck.Check(t, s.f, s.in)
	})
}

func TestMisuse(t *testing.T) {
	each(t, func(t *testing.T, s sample) {
		if len(s.bad) == 0 {
			t.Fatalf("%s has no misuse in the table", s.name)
		}
		for i, bad := range s.bad {
			g, in := open(t, s.in)
			err := tensor.Try(func() { bad(g, in) })
			var e *tensor.Error
			if !errors.As(err, &e) {
				t.Errorf("misuse %d was not refused", i)
				continue
			}
			want := s.name
			if s.refuse != "" {
				want = s.refuse
			}
			if e.Op != want || len(e.Operands) == 0 || e.Reason == "" {
				t.Errorf("misuse %d: not about %s, its operands and the reason: %v", i, want, e)
			}
		}
	})
}

// declared lists, from the source of op_*.go, the types with a Forward method and the exported
// functions that return a *Value.
func declared(t *testing.T) (ops, funcs map[string]bool) {
	t.Helper()
	files, err := filepath.Glob("op_*.go")
	if err != nil || len(files) < 9 {
		t.Fatalf("op files: %v, %v", files, err)
	}
	ops, funcs = map[string]bool{}, map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			d, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if d.Recv != nil {
				if d.Name.Name == "Forward" {
					ops[typeName(d.Recv.List[0].Type)] = true
				}
			} else if r := d.Type.Results; d.Name.IsExported() && r != nil &&
				typeName(r.List[0].Type) == "Value" {
				funcs[d.Name.Name] = true
			}
		}
	}
	return ops, funcs
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.ArrayType:
		return typeName(e.Elt)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// TestTableIsComplete fails for an exported function that has no sample, and for an op that no
// sample applies, neither in its value nor in its first or second derivative.
func TestTableIsComplete(t *testing.T) {
	ops, funcs := declared(t)
	applied := map[string]bool{}
	for _, s := range samples() {
		delete(funcs, s.name)
		if s.kind == constant {
			continue
		}
		g, in := open(t, s.in)
		y := s.f(g, in)
		leaf := func(like value) value {
			data := normal(9, like.Shape()...).Data
			return g.Leaf(tensor.FromSlice(g.Scope(), data, like.Shape()...))
		}
		ad.OpTypes(applied, y)
		u := leaf(y)
		wanted := append(in[:len(in):len(in)], u)
		dxs := ad.Grad(y, in, ad.WithCotangent(u), ad.CreateGraph())
		for _, dx := range dxs {
			ad.OpTypes(applied, dx)
			v := leaf(dx)
			for _, d := range ad.Grad(dx, wanted, ad.WithCotangent(v), ad.CreateGraph()) {
				ad.OpTypes(applied, d)
			}
		}
	}
	for name := range funcs {
		t.Errorf("%s has no sample in the table", name)
	}
	// A constant result is not recorded, so its op cannot be found in a graph.
	delete(ops, "oneHotOp")
	delete(ops, "chainOp")       // TestChainComposite
	delete(ops, "convChainOp")   // TestConvChainComposite
	delete(ops, "matMulViewsOp") // TestViewsComposite
	for op := range ops {
		if !applied["autodiff."+op] && !applied["*autodiff."+op] {
			t.Errorf("no sample of the table applies %s", op)
		}
	}
}

func TestAdjointPairs(t *testing.T) {
	type linear = func(value) value
	check := func(name string, a, at linear, x, y []int) {
		t.Run(name, func(t *testing.T) { gradcheck.Adjoint(t, a, at, x, y) })
	}
	check("BroadcastTo", func(x value) value { return ad.BroadcastTo(x, 2, 3, 4) },
		func(y value) value { return ad.Reshape(ad.SumKeep(y, 0, 1), 1, 4) },
		[]int{1, 4}, []int{2, 3, 4})
	check("Sum", func(x value) value { return ad.Sum(x, 1) },
		func(y value) value { return ad.BroadcastTo(ad.Reshape(y, 2, 1, 4), 2, 3, 4) },
		[]int{2, 3, 4}, []int{2, 4})
	check("Reshape", func(x value) value { return ad.Reshape(x, 6) },
		func(y value) value { return ad.Reshape(y, 2, 3) }, []int{2, 3}, []int{6})
	check("Permute", func(x value) value { return ad.Permute(x, 1, 2, 0) },
		func(y value) value { return ad.Permute(y, 2, 0, 1) }, []int{2, 3, 4}, []int{3, 4, 2})
	check("Slice/Pad", func(x value) value { return ad.Slice(x, []int{1, 2}, []int{3, 5}, nil) },
		func(y value) value { return ad.Pad(y, []int{1, 2}, []int{1, 0}) },
		[]int{4, 5}, []int{2, 3})
	check("SlicePad/SlicePad", func(x value) value {
		return ad.SlicePad(x, []int{0, 3}, []int{3, 0}, []int{2, -1}, []int{1, 0}, []int{0, 2})
	}, func(y value) value { // the copy the other way: rows apart, columns backwards, zeros between
		y = ad.Slice(y, []int{1, 2}, []int{3, -1}, []int{1, -1})
		rows := ad.Split(y, 0, 1, 1)
		y = ad.Concat(0, rows[0], ad.Pad(rows[1], []int{1, 0}, []int{0, 0}))
		return ad.Pad(y, []int{0, 1}, []int{1, 1})
	}, []int{4, 5}, []int{3, 5})
	check("Gather/ScatterAdd", func(x value) value { return ad.Gather(x, idx(x.Graph(), 3, 0, 3)) },
		func(y value) value { return ad.ScatterAdd(y, idx(y.Graph(), 3, 0, 3), 4) },
		[]int{4, 2}, []int{3, 2})
	check("Upsample", with(ad.Upsample, 3), with(ad.UpsampleGrad, 3),
		[]int{2, 2, 1, 3}, []int{2, 6, 3, 3})
	for i, p := range []tensor.PoolParams{
		{KH: 2, KW: 3, StrideH: 2, StrideW: 1, PadLeft: 1, CountPad: true},
		{KH: 3, KW: 2, StrideH: 2, StrideW: 2, PadTop: 1, PadBottom: 1, CeilMode: true},
	} {
		oh, ow := p.Out(6, 5)
		check(fmt.Sprint("AvgPool/", i), with(ad.AvgPool, p),
			func(y value) value { return ad.AvgPoolGrad(y, 6, 5, p) },
			[]int{2, 6, 5, 2}, []int{2, oh, ow, 2})
	}
}

// TestConvolutionTriple holds the three maps to the one number they are derivatives of.
func TestConvolutionTriple(t *testing.T) {
	for i, p := range convs() {
		oh, ow := p.Out(5, 6, 3, 2)
		xs, ws, ys := []int{2, 5, 6, 4}, []int{4, 3, 2, 4 / p.Groups}, []int{2, oh, ow, 4}
		fixed := func(g graph, n uint32, shape []int) value {
			return g.Const(tensor.FromSlice(g.Scope(), normal(n, shape...).Data, shape...))
		}
		w := func(v value) value { return fixed(v.Graph(), 11, ws) }
		x := func(v value) value { return fixed(v.Graph(), 12, xs) }
		y := func(v value) value { return fixed(v.Graph(), 13, ys) }
		pairs := []struct {
			name     string
			a, at    func(value) value
			from, to []int
		}{
			{"x to y", func(v value) value { return ad.Conv2D(v, w(v), p) },
				func(v value) value { return ad.Conv2DInputGrad(v, w(v), 5, 6, p) }, xs, ys},
			{"w to y", func(v value) value { return ad.Conv2D(x(v), v, p) },
				func(v value) value { return ad.Conv2DWeightGrad(x(v), v, 3, 2, p) }, ws, ys},
			{"w to x", func(v value) value { return ad.Conv2DInputGrad(y(v), v, 5, 6, p) },
				func(v value) value { return ad.Conv2DWeightGrad(v, y(v), 3, 2, p) }, ws, xs},
		}
		for _, c := range pairs {
			t.Run(fmt.Sprint(i, "/", c.name), func(t *testing.T) {
				gradcheck.Adjoint(t, c.a, c.at, c.from, c.to)
			})
		}
	}
}

func TestBatchStats(t *testing.T) {
	in := normInputs(false, false, false)
	_, v := open(t, in)
	y, stats := ad.BatchNorm(v[0], v[1], v[2], bnEps)
	ad.Grad(ad.Sum(ad.Square(y)), v) // frees what the op saved, not the statistics
	const m = 12
	if stats.Count != m {
		t.Errorf("Count = %d, expected %d", stats.Count, m)
	}
	for c := range 2 {
		mean, sq := 0.0, 0.0
		for i := c; i < len(in[0].Data); i += 2 {
			mean += in[0].Data[i] / m
			sq += in[0].Data[i] * in[0].Data[i] / m
		}
		near(t, "mean", stats.Mean.Floats()[c], mean)
		near(t, "variance", stats.Variance.Floats()[c], sq-mean*mean)
	}
}

// TestEdges pins the conventions at kinks and ties that the doc comments state.
func TestEdges(t *testing.T) {
	at := func(f func(x value) value, x ...float64) []float64 {
		_, in := open(t, []input{gradcheck.Of([]int{len(x)}, x...)})
		return ad.Grad(ad.Sum(f(in[0])), in)[0].Tensor().Floats()
	}
	same := func(name string, got []float64, want ...float64) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: gradient %v, expected %v", name, got, want)
		}
	}
	same("ReLU", at(ad.ReLU, -1, 0, 1), 0, 0, 1)
	same("LeakyReLU", at(with(ad.LeakyReLU, 0.5), -1, 0, 1), 0.5, 0.5, 1)
	same("Abs", at(ad.Abs, -1, 0, 1), -1, 0, 1)
	same("Clamp", at(func(x value) value { return ad.Clamp(x, 0, 1) }, 0, 0.5, 1), 0, 1, 0)
	same("Pow 0", at(with(ad.Pow, 0.0), 0, 1), 0, 0)
	same("Max of ties", at(func(x value) value { return ad.Max(x) }, 2, 1, 2), 0.5, 0, 0.5)
	ties := map[string]func(x, y value) value{"Maximum": ad.Maximum, "Minimum": ad.Minimum}
	for name, f := range ties {
		_, in := open(t, []input{gradcheck.Of([]int{1}, 3), gradcheck.Of([]int{1}, 3)})
		d := ad.Grad(f(in[0], in[1]), in)
		same(name+" first", d[0].Tensor().Floats(), 1)
		same(name+" second", d[1].Tensor().Floats(), 0)
	}
	same("MaxPool", at(func(x value) value {
		p := tensor.PoolParams{KH: 2, KW: 2, StrideH: 2, StrideW: 2}
		return ad.MaxPool(ad.Reshape(x, 1, 2, 2, 1), p)
	}, 1, 4, 4, 0), 0, 1, 0, 0)
	g, in := open(t, []input{normal(1, 2), normal(2, 2)})
	inf := g.Const(tensor.FromSlice(g.Scope(), []float64{math.Inf(1), math.Inf(1)}, 2))
	taken := g.Const(tensor.FromSlice(g.Scope(), []float64{1, 0}, 2))
	d := ad.Grad(ad.Where(taken, in[0], in[1]), in, ad.WithCotangent(inf))
	same("Where first", d[0].Tensor().Floats(), math.Inf(1), 0)
	same("Where second", d[1].Tensor().Floats(), 0, math.Inf(1))
}
