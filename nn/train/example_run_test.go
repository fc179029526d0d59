package train_test

import (
	"fmt"
	"log"
	"os"

	"afterimage/nn/train"
	"afterimage/tensor/cpu"
)

// A run is a directory. Its last checkpoint and a step's number are all that the step depends on,
// so a training that was killed goes on as if nothing had happened.
func Example() {
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	b := cpu.Open(1)
	defer b.Close()
	config := train.ClassifierConfig{Kind: "classifier", Arch: "resnet8", Dataset: "scenes",
		TrainImages: 64, Epochs: 2, Batch: 16, LR: 0.1, Momentum: 0.9, Schedule: "cosine", Seed: 1}
	trainer := func() *train.Classifier {
		t, err := train.NewClassifier(b, config)
		if err != nil {
			log.Fatal(err)
		}
		return t
	}
	step := func(t *train.Classifier, i int) float64 {
		loss, err := t.Step(i, t.Loader().Batch(i))
		if err != nil {
			log.Fatal(err)
		}
		return loss
	}

	first := trainer()
	defer first.Close()
	run, err := train.Create(dir, config, map[string]string{"machine": "an example"})
	if err != nil {
		log.Fatal(err)
	}
	step(first, 0)
	if err := run.Save(train.LatestFile, first.State(), 1, nil); err != nil {
		log.Fatal(err)
	}
	undisturbed := step(first, 1)
	run.Close()

	// Another process, later.
	again := trainer()
	defer again.Close()
	if run, err = train.Open(dir, &config); err != nil {
		log.Fatal(err)
	}
	defer run.Close()
	at, _, err := run.Restore(train.LatestFile, train.FinalFile, again.State())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("resumed at step", at, "same loss:", step(again, at) == undisturbed)
	// Output: resumed at step 1 same loss: true
}
