// Package nn builds networks out of autodiff's operations: parameters, layers, initialisation and
// the context of one forward pass.
//
// A layer is a plain struct that names its parameters; Forward is a function of (Ctx, parameters,
// input). What training changes besides the weights (running statistics, power iterations) is
// returned through Updates and applied once, after the step.
//
// For a reader who knows PyTorch:
//
//	model.state_dict()              List(m), under the same names; Store and Restore move it
//	model.parameters()              Trainable(m)
//	model.train(), model.eval()     the Mode that NewCtx gives each pass, Train or Eval
//	register_buffer                 Param.Buffer, which changes through Updates.Apply alone
//	loss.backward()                 autodiff.Grad(loss, ctx.Values(params)) returns the gradients
//	nn.init, torch.manual_seed      Init(scope, m, seed)
//	nn.utils.spectral_norm          Spectral in a layer's configuration
//	nn.functional, nn.ReLU          package autodiff; Func makes a layer of one of its functions
//	torch.optim                     package optim
//	torch.load, torch.save          package checkpoint, with Restore and Store
//	utils.data.DataLoader           data.Loader
//	N C H W, O I H W                N H W C, O H W I
//
// # Lifetimes
//
// The garbage collector sees a handle of some fifty bytes and not the hundred megabytes behind it,
// so memory is given back in defined places. Four kinds of things live in a training, each as long
// as its owner:
//
//	weights, optimizer state           the scope given to Init     the training
//	what one step computes             the step's Graph            until Graph.Close
//	an activation, within the step     Done, Tidy and Grad         until its last use
//	new values of buffers              Updates                     until Apply or Discard
//
// The third line decides how much a step takes. A layer that has consumed a value calls Done on
// it: "I shall not use this again". Where a gradient will be asked for, the value stays until the
// last recorded VJP that reads it has run, and Grad then frees it in passing, so memory falls
// while the backward pass climbs back. Where none will, it is gone at once; and a block wrapped in
// Ctx.Block leaves only its result behind, so that inference holds one block's activations however
// deep the network. Where a gradient will be asked for and memory is short, Ctx.Recompute makes the
// same of training: a block's inside is computed again when the backward pass gets there
// (autodiff/checkpoint.go). A block that is wider than all the others together goes through
// Ctx.Parts, a part of the batch at a time.
//
// One thing must outlive the block that computes it: what a pass derives from parameters once and
// uses again, such as a power iteration or the scale into which evaluation folds a batch norm.
// Derived keeps it, and hoists a copy to the scope the pass began in. Whole weights are kept only
// where they will be read again, by a gradient or by the next pass of an Inference; of the latter
// the backend needs only the form that its kernels read, and the rest goes (Inference.Own).
//
// Half the memory is to be had in another way, too: where the backend asks for it the blocks of a
// network compute on BF16 values, between two places that half.go describes.
//
// Nothing here is freed by being forgotten, and nothing is used after it was freed without a panic
// that names the op that made it. Because every step gives back what it took, the next one gets the
// same blocks: after the second step a training asks the system for no more memory.
//
// Read module.go (parameters), ctx.go (what is passed to each Forward), linear.go and conv.go
// (layers), norm.go (what a pass changes besides), then inference.go (passes in which weights
// stay).
//
// Non-goals: kernels (a tensor.Backend), gradients (autodiff), losses and optimizers (nn/loss,
// nn/optim), whole architectures (nn/models), tracing, layers that shape themselves on first use.
//
// Invariants:
//  1. A layer has no mode and no hidden state: two Forward calls with equal Ctx, parameters and
//     input give equal bytes, and a pass whose Updates are not applied leaves no trace.
//  2. Params yields every *Param a module can reach, under PyTorch's name, in a fixed order
//     (nn/nntest checks it by reflection).
//  3. Activations are NHWC, convolution weights OHWI, linear weights [out in].
//
// Comes from: autodiff (Values) and tensor (memory, random numbers). Goes to: nn/models and gan,
// which assemble layers; nn/optim, which moves parameters; nn/checkpoint, whose files Store fills
// and Restore reads.
package nn
