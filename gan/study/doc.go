// Package study runs the whole comparison: train a standard and a robust classifier, train an
// inverter for each, measure both on the same images, ask them the experiments that need no
// training, and write one page and one file of numbers.
//
// What a study does is a Spec, read from YAML; the presets are embedded. A study lives in a
// directory of stages, each of which is skipped when its result is there:
//
//	study.yaml                      the Spec; a directory belongs to one
//	classifier-NAME/                a run of nn/train, and accuracy-NAME.json
//	inverter-CLASSIFIER-CONDITION/  a run of gan, and evaluation-CLASSIFIER-CONDITION.json
//	explore/EXPERIMENT-SUBJECT.json with its pictures
//	stages.json                     what each stage cost
//	.stages/STAGE/                  held by the process that runs the stage
//	study.json, report.html, sheet.png   made anew at the end
//
// Processes that are started with the same study in the same directory share its stages.
//
// Read spec.go (what is compared), run.go (the stages in their order), networks.go (what they judge
// and paint with), result.go (the numbers), page.go (the page).
//
// Non-goals: methods and measures (gan, gan/explore), the look of the page (gan/report), the
// command line.
//
// Invariants:
//  1. A study stopped at any moment and run again ends with the same numbers: trainings resume
//     exactly, every other stage is a pure function of (Spec, weights).
//  2. Sheets show test images 0, 1, 2, …; no number or picture is chosen by its looks.
//  3. The text says what the numbers say: a difference is called one when its interval excludes 0.
//
// Comes from: gan, gan/explore, nn/train. Goes to: cmd/afterimage (study, demo) and readers of the
// page.
package study
