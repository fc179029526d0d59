package data

import (
	"strings"

	"afterimage/tensor"
)

// A remoteSet is what Get needs to know to fetch one dataset.
type remoteSet struct {
	name   string
	folder string // below the data folder
	page   string // where a person reads about it
	files  []remoteFile
}

// A remoteFile is one file to download.
type remoteFile struct {
	name   string
	size   int64
	sha256 string
	bases  []string          // mirrors: base + name is the address
	unpack map[string]string // for a .tar.gz: the files to take from it, with SHA-256 ("" if unknown)
}

// catalogue returns the datasets Get knows. Sizes and digests are those of the original files,
// as TensorFlow Datasets' checksum lists give them; the members' digests of CIFAR-10 are those of
// the files its users have.
func catalogue() []remoteSet {
	return []remoteSet{cifar10Remote(), cifar100Remote(), mnistRemote(), fashionRemote()}
}

// cifarBases are the author's page and public copies of the same archives.
func cifarBases(folder string) []string {
	return []string{
		"https://www.cs.toronto.edu/~kriz/",
		"https://storage.googleapis.com/s4tf-hosted-binaries/datasets/" + folder + "/",
		"https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
	}
}

func cifar10Remote() remoteSet {
	return remoteSet{name: "cifar-10", folder: "cifar-10-batches-bin",
		page: "https://www.cs.toronto.edu/~kriz/cifar.html",
		files: []remoteFile{{
			name: "cifar-10-binary.tar.gz", size: 170052171,
			sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
			bases:  cifarBases("CIFAR10"),
			unpack: map[string]string{
				"batches.meta.txt": "",
				"data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
				"data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
				"data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
				"data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
				"data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
				"test_batch.bin":   "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
			}}}}
}

func cifar100Remote() remoteSet {
	return remoteSet{name: "cifar-100", folder: "cifar-100-binary",
		page: "https://www.cs.toronto.edu/~kriz/cifar.html",
		files: []remoteFile{{
			name: "cifar-100-binary.tar.gz", size: 168513733,
			sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
			bases:  cifarBases("CIFAR100"),
			unpack: map[string]string{"train.bin": "", "test.bin": "", "fine_label_names.txt": "",
				"coarse_label_names.txt": ""},
		}}}
}

func mnistRemote() remoteSet {
	bases := []string{
		"https://ossci-datasets.s3.amazonaws.com/mnist/",
		"https://storage.googleapis.com/cvdf-datasets/mnist/",
		"http://yann.lecun.com/exdb/mnist/",
	}
	return remoteSet{name: "mnist", folder: "mnist", page: "http://yann.lecun.com/exdb/mnist/",
		files: []remoteFile{
			{"train-images-idx3-ubyte.gz", 9912422,
				"440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", bases, nil},
			{"train-labels-idx1-ubyte.gz", 28881,
				"3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", bases, nil},
			{"t10k-images-idx3-ubyte.gz", 1648877,
				"8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", bases, nil},
			{"t10k-labels-idx1-ubyte.gz", 4542,
				"f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", bases, nil},
		}}
}

func fashionRemote() remoteSet {
	bases := []string{
		"https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
		"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
		"https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
	}
	return remoteSet{name: "fashion-mnist", folder: "fashion-mnist",
		page: "https://github.com/zalandoresearch/fashion-mnist",
		files: []remoteFile{
			{"train-images-idx3-ubyte.gz", 26421880,
				"3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", bases, nil},
			{"train-labels-idx1-ubyte.gz", 29515,
				"a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", bases, nil},
			{"t10k-images-idx3-ubyte.gz", 4422102,
				"346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", bases, nil},
			{"t10k-labels-idx1-ubyte.gz", 5148,
				"67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", bases, nil},
		}}
}

// findRemote returns the catalogue's entry of a name.
func findRemote(name string) (remoteSet, error) {
	var known []string
	for _, s := range catalogue() {
		if s.name == name {
			return s, nil
		}
		known = append(known, s.name)
	}
	if name == "scenes" {
		return remoteSet{}, tensor.Refuse("data: Get: scenes are drawn by the program and " +
			"need no download: use --dataset scenes")
	}
	return remoteSet{}, tensor.Refuse("data: Get: no download known for %q: expected one of %s",
		name, strings.Join(known, ", "))
}
