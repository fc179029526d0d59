// Package explore measures what an inverter brings back and asks it questions that need no
// training: new noise for the same logits, changed logits, misclassified images, and a regression
// probe of what there is to bring back at all.
//
// Read painter.go (who is asked), score.go and evaluate.go (what is measured), experiment.go, then
// an experiment: noise.go is the shortest story.
//
// Non-goals: training anything but closed-form regressions (gan trains), laying out a page
// (gan/report), deciding which inverters are compared (gan/study).
//
// Invariants:
//  1. Everything is asked through Network and Painter, so that a measure can be checked with a
//     painter whose answer is known: the true image retrieves itself, the class mean is chance.
//  2. Images are the first n of a test split, never a selection; what noise image i gets in draw k
//     depends on (seed, k, i) alone, so two inverters see the same noise and a larger n changes
//     nothing.
//  3. A number comes with its 95 % bootstrap interval over images, and with the values of the
//     single images where another inverter's are to be paired with them.
//
// Comes from: gan (inverters), nn/data (images), gan/metrics (measures). Goes to: gan/study and
// cmd/afterimage, as JSON and as contact sheets.
package explore
