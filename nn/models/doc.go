// Package models holds the classifier architectures and moves their weights between files and
// memory.
//
// [New] builds a network from its name. Names of parameters are those of the published checkpoints,
// so that third-party weights load without a table; [LoadFile] turns PyTorch's layouts into ours.
//
// Non-goals: training (nn/train), generators and discriminators (gan), networks built at run time
// from a description.
//
// Invariants:
//  1. A Classifier takes images [N H W C] in [0, 1]; the normalisation is inside, so that attacks
//     work in pixel units.
//  2. Declaring a network takes no memory for its weights and draws no random number.
//  3. Load changes nothing unless every parameter is in the file with the right size.
//
// Comes from: nn (layers) and nn/checkpoint (files). Goes to: nn/train, nn/attack, gan, cmd.
package models
