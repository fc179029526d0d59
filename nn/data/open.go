package data

import (
	"strings"

	"afterimage/tensor"
)

// Options say how Open prepares a dataset. The zero value takes every set as it is, grey images
// repeated to three channels.
type Options struct {
	Size     int    // height and width in pixels; 0: the set's own (28, 32; folders and scenes 32)
	Channels int    // 3 (also 0) or 1
	Fit      Fit    // how an image of another size is brought to Size
	Train    int    // scenes: number of training images (0: 20,000); else at most so many (0: all)
	Val      int    // the same for validation (scenes: 2,000)
	Test     int    // the same for testing (scenes: 2,000)
	Seed     uint64 // scenes: which endless sequence of images; elsewhere without effect
	TestOnly bool   // the other splits are not asked for: CIFAR's are not read, and have no images
}

// Names returns the names Open knows, besides "folder:PATH".
func Names() []string {
	return []string{"cifar-10", "cifar-100", "mnist", "fashion-mnist", "scenes"}
}

// Open opens a dataset by name: one of Names(), or "folder:PATH".
//
// dir is searched for cifar-10-batches-bin/ or cifar-10-binary.tar.gz, cifar-100-binary/ or
// cifar-100-binary.tar.gz, mnist/ and fashion-mnist/ (idx files, plain or .gz); it may also be that
// folder or archive itself. Scenes and folders do not use dir. CIFAR files may hold any number of
// records.
//
// Missing and damaged files give a *FileError that names the file, what was expected and found,
// and what to do.
func Open(name, dir string, o Options) (*Set, error) {
	channels := o.Channels
	if channels == 0 {
		channels = 3
	}
	if path, ok := strings.CutPrefix(name, folderPrefix); ok {
		set, err := openFolderSet(path, o.Size, channels)
		if err != nil {
			return nil, err
		}
		return set.limit(o.Train, o.Val, o.Test), nil
	}
	if name == "scenes" {
		return openScenes(o)
	}
	var train, test *Memory
	var err error
	switch name {
	case "cifar-10", "cifar-100":
		train, test, err = openCIFAR(cifarLayouts()[name], dir, o.TestOnly)
	case "mnist", "fashion-mnist":
		train, test, err = openMNIST(name, dir)
	default:
		return nil, tensor.Refuse("data: Open: unknown dataset %q: expected %s or folder:PATH", name,
			strings.Join(Names(), ", "))
	}
	if err != nil {
		return nil, err
	}
	if train, err = refit(train, o.Size, channels, o.Fit); err != nil {
		return nil, err
	}
	if test, err = refit(test, o.Size, channels, o.Fit); err != nil {
		return nil, err
	}
	return newSet(name, train, test).limit(o.Train, o.Val, o.Test), nil
}
