package metrics

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// A Lineup says which images a reconstruction is compared with. Query i was painted from the
// code of gallery image Truth[i]; its rivals are the gallery images j ≠ Truth[i] with
// GalleryClass[j] == QueryClass[i].
//
// With true labels on both sides the rivals are the other images of the true class; with the
// classifier's predictions on both sides, the images that share its verdict, so that knowing
// the predicted class helps nobody.
type Lineup struct {
	Truth        []int   // per query: row of its own image in the gallery
	QueryClass   []int32 // per query
	GalleryClass []int32 // per gallery image
}

// FirstN returns the line-up in which query i belongs to gallery image i and both sides carry
// the gallery's classes: the protocol for the first n test images.
// It panics if there are fewer than n classes.
func FirstN(n int, class []int32) Lineup {
	if n > len(class) {
		fail("metrics.FirstN", "%d queries in a gallery of %d", n, len(class))
	}
	truth := make([]int, n)
	for i := range truth {
		truth[i] = i
	}
	return Lineup{truth, class[:n], class}
}

// Retrieval returns, per query, the rank of the true image among its rivals as a percentage:
//
//	100 · (#rivals nearer than the true image + ½·#rivals equally near) / #rivals
//
// by squared Euclidean distance between rows of queries [q, d] and gallery [g, d], which hold
// 8×8 block means or any features. 0 is perfect, 50 is chance. A query without rivals has no rank:
// NaN (drop it with Defined and say how many).
//
// It panics if shapes, lengths or indices do not fit or a value is not finite: a NaN
// reconstruction would be nearer to nothing and so rank first.
func Retrieval(queries, gallery *mat.Dense, l Lineup) []float64 {
	checkLineup(queries, gallery, l)
	out := make([]float64, len(l.Truth))
	for i, truth := range l.Truth {
		q := queries.RawRowView(i)
		own := squaredDistance(q, gallery.RawRowView(truth))
		nearer, rivals := 0.0, 0
		for j, c := range l.GalleryClass {
			if c != l.QueryClass[i] || j == truth {
				continue
			}
			rivals++
			switch d := squaredDistance(q, gallery.RawRowView(j)); {
			case d < own:
				nearer++
			case d == own:
				nearer += 0.5
			}
		}
		out[i] = math.NaN()
		if rivals > 0 {
			out[i] = 100 * nearer / float64(rivals)
		}
	}
	return out
}

func checkLineup(queries, gallery *mat.Dense, l Lineup) {
	const op = "metrics.Retrieval"
	q, d := queries.Dims()
	g, gd := gallery.Dims()
	if q > 0 && d != gd {
		fail(op, "queries have %d features, the gallery %d", d, gd)
	}
	if len(l.Truth) != q || len(l.QueryClass) != q || len(l.GalleryClass) != g {
		fail(op, "%d queries and %d gallery rows, but %d truths, %d and %d classes",
			q, g, len(l.Truth), len(l.QueryClass), len(l.GalleryClass))
	}
	for i, t := range l.Truth {
		if t < 0 || t >= g {
			fail(op, "truth %d of query %d is outside the gallery of %d", t, i, g)
		}
	}
	checkFinite(op, "queries", queries)
	checkFinite(op, "gallery", gallery)
}

// checkFinite panics if m holds NaN or an infinity.
func checkFinite(op, name string, m *mat.Dense) {
	n, _ := m.Dims()
	for i := range n {
		for j, v := range m.RawRowView(i) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				fail(op, "%s[%d, %d] is %v", name, i, j, v)
			}
		}
	}
}

// Defined returns the values of x that are not NaN, in order.
func Defined(x []float64) []float64 {
	out := make([]float64, 0, len(x))
	for _, v := range x {
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	return out
}
