package study

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"afterimage/gan"
	"afterimage/gan/explore"
	"afterimage/nn/train"
)

// A study is shared by as many processes as are started with it. A stage is done when its file is
// there, ready when the files it needs are, and taken by whoever holds its lock; nobody hands out
// work, and a process that dies lets go of what it held.

// lockDir holds an empty directory for each stage that is or was being run.
const lockDir = ".stages"

// patience is how long a process sleeps before it looks again for a stage to take.
const patience = 500 * time.Millisecond

// stages lists what there is to do, in an order in which one process can do it.
func (r *runner) stages() []Stage {
	var out []Stage
	add := func(name string, budget float64, file string, run func() error, needs ...string) {
		out = append(out, Stage{Name: name, Budget: budget, file: file, run: run, needs: needs})
	}
	s := r.spec
	for _, c := range s.Classifiers {
		net := r.network(c.Name)
		if c.Weights == "" {
			add("classifier-"+c.Name, c.Budget, net, func() error { return r.trainClassifier(c) })
		}
		add("accuracy-"+c.Name, s.Accuracy.Budget, r.path("accuracy-"+c.Name+".json"),
			func() error { return r.accuracy(c) }, net)
	}
	for _, i := range s.Inverters {
		add("inverter-"+i.Name(), i.Budget, r.painter(i.Name()),
			func() error { return r.trainInverter(i) }, r.network(i.Classifier))
	}
	judge := r.network(s.Judge)
	for _, i := range s.Inverters {
		add("evaluation-"+i.Name(), s.Evaluate.Budget, r.path("evaluation-"+i.Name()+".json"),
			func() error { return r.evaluate(i) }, judge, r.painter(i.Name()),
			r.painter(s.control(i)))
	}
	for _, sub := range s.subjects() {
		for _, e := range s.Explore.Experiments {
			if name, ok := sub.takes(e); ok {
				budget := s.Explore.Budget / float64(len(s.Explore.Experiments))
				add("explore-"+e+"-"+name, budget, r.path(ExploreDir, e+"-"+name+".json"),
					func() error { return r.explore(e, name, sub) }, judge, r.painter(sub.Name()))
			}
		}
	}
	for k := range out {
		out[k].Done, out[k].Number, out[k].Of = present(out[k].file), k+1, len(out)
	}
	return out
}

// network returns the file of the classifier called name, which a stage that reads it needs; "" for
// none.
func (r *runner) network(name string) string {
	c := r.spec.find(name)
	switch {
	case c.Name == "":
		return ""
	case c.Weights != "":
		return filepath.Join(r.o.Data, c.Weights)
	}
	return r.path("classifier-"+name, train.CheckpointDir, train.FinalFile)
}

// painter returns the file of the trained inverter called name; "" for none.
func (r *runner) painter(name string) string {
	if name == "" {
		return ""
	}
	return r.path("inverter-"+name, train.CheckpointDir, gan.FinalInverter)
}

// present reports whether a file is there, or none is asked for.
func present(file string) bool {
	if file == "" {
		return true
	}
	_, err := os.Stat(file)
	return err == nil
}

// ready reports whether all that a stage reads and another one makes is there. Weights that no
// stage makes are not waited for: the stage says that they are missing.
func ready(st Stage, stages []Stage) bool {
	for _, other := range stages {
		if slices.Contains(st.needs, other.file) && !present(other.file) {
			return false
		}
	}
	return true
}

// work runs the stages that are not done, in order, but for those that other processes run.
func (r *runner) work(stages []Stage) error {
	for _, st := range stages {
		if st.Done {
			r.note(st)
		}
	}
	told := false
	for {
		ran, err := r.next(stages)
		if ran && err == nil {
			continue
		}
		if !errors.Is(err, train.ErrInUse) {
			return err
		}
		if !told && r.o.Waiting != nil {
			r.o.Waiting()
		}
		told = true
		time.Sleep(patience)
	}
}

// next runs the first stage that can be run now. It returns false when every stage is done, and an
// error that wraps train.ErrInUse when what is left must be waited for.
func (r *runner) next(stages []Stage) (ran bool, err error) {
	var busy error
	for _, st := range stages {
		if present(st.file) {
			continue
		}
		if r.o.Stopped != nil && r.o.Stopped() {
			return false, train.ErrStopped
		}
		if !ready(st, stages) { // another process makes what it needs, or an earlier stage would run
			busy = train.ErrInUse
			continue
		}
		held, err := r.take(st)
		if errors.Is(err, train.ErrInUse) {
			busy = err
			continue
		}
		if err != nil {
			return false, err
		}
		if !present(st.file) { // nobody ended it before the lock was ours
			r.note(st)
			err = r.timed(st)
		}
		if err = errors.Join(err, held()); err != nil {
			return false, fmt.Errorf("study: %s: %w", st.Name, err)
		}
		return true, nil
	}
	return false, busy
}

func (r *runner) note(st Stage) {
	if r.o.Note != nil {
		r.o.Note(st)
	}
}

// take makes a stage this process's own until release is called.
func (r *runner) take(st Stage) (release func() error, err error) {
	dir := r.path(lockDir, st.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	l, err := train.Lock(dir)
	if err != nil {
		return nil, err
	}
	return l.Close, nil
}

// timed runs a stage and adds what it cost to stages.json, also when it was stopped half way.
func (r *runner) timed(st Stage) error {
	start, cpu := time.Now(), r.cpu()
	r.peak() // of what was before
	err := st.run()
	st.Seconds, st.CPUSeconds = time.Since(start).Seconds(), r.cpu()-cpu
	st.PeakBytes = r.peak()
	return errors.Join(err, r.charge(st))
}

// charge adds what a stage cost to stages.json, which other processes write, too.
func (r *runner) charge(st Stage) error {
	for {
		l, err := train.Lock(r.path(lockDir))
		if errors.Is(err, train.ErrInUse) {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		defer l.Close()
		break
	}
	costs, err := r.costs()
	if err != nil {
		return err
	}
	k := 0
	for k < len(costs) && costs[k].Name != st.Name {
		k++
	}
	if k == len(costs) {
		costs = append(costs, Stage{Name: st.Name})
	}
	c := &costs[k]
	c.Budget = st.Budget
	c.Seconds += st.Seconds
	c.CPUSeconds += st.CPUSeconds
	c.PeakBytes = max(c.PeakBytes, st.PeakBytes)
	return explore.WriteJSON(r.path(StagesFile), costs)
}

// costs reads stages.json.
func (r *runner) costs() ([]Stage, error) {
	var costs []Stage
	if !present(r.path(StagesFile)) {
		return nil, nil
	}
	err := explore.ReadJSON(r.path(StagesFile), &costs)
	return costs, err
}

func (r *runner) cpu() float64 {
	if r.o.CPUSeconds == nil {
		return 0
	}
	return r.o.CPUSeconds()
}

func (r *runner) peak() int64 {
	if r.o.PeakMemory == nil {
		return 0
	}
	return r.o.PeakMemory()
}
