// Package cases runs ONNX's own operator cases: folders with a model.onnx and test data.
//
// [Find] lists the folders below one, [Run] imports a model, runs it on every data set beside it
// and compares with the outputs that are stored there.
//
// Non-goals: choosing which cases matter, making cases.
//
// Invariants:
//  1. A case passes when every output of every data set has the stored type and shape and agrees
//     element by element, |got − want| ≤ AbsTol + RelTol·|want|, NaN with NaN, infinities exactly.
//  2. A case is unsupported only when the importer says so; everything else that goes wrong is a
//     failure.
//  3. The result does not depend on other cases.
//
// Comes from: ONNX's repository, unpacked by the user. Goes to: bench/onnxcases and the tests.
package cases
