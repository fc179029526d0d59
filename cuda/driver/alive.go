//go:build linux && cgo

package driver

/*
#include "shim.h"
*/
import "C"

import "sync/atomic"

// The kinds of what is counted, in the order of Alive's fields.
const (
	aliveContexts = iota
	aliveStreams
	aliveEvents
	aliveGraphs
	aliveExecs
	aliveModules
	aliveBlocks
	alivePinned
	aliveHandles
	aliveDescriptors
	aliveKinds
)

// census counts what was created and not given back.
type census [aliveKinds]atomic.Int64

// births lists the calls that create something, and deaths those that give it back.
var (
	births = map[C.int]int{C.AI_RETAIN: aliveContexts, C.AI_STREAM_CREATE: aliveStreams,
		C.AI_EVENT_CREATE: aliveEvents, C.AI_CAPTURE_END: aliveGraphs,
		C.AI_GRAPH_INSTANTIATE: aliveExecs, C.AI_MEM_ALLOC: aliveBlocks,
		C.AI_MEM_ALLOC_ASYNC: aliveBlocks, C.AI_HOST_ALLOC: alivePinned,
		C.AI_DNN_CREATE: aliveHandles, C.AI_LT_CREATE: aliveHandles,
		C.AI_DNN_DESCRIPTOR: aliveDescriptors}
	deaths = map[C.int]int{C.AI_RELEASE: aliveContexts, C.AI_STREAM_DESTROY: aliveStreams,
		C.AI_EVENT_DESTROY: aliveEvents, C.AI_GRAPH_DESTROY: aliveGraphs,
		C.AI_EXEC_DESTROY: aliveExecs, C.AI_MODULE_UNLOAD: aliveModules,
		C.AI_MEM_FREE: aliveBlocks, C.AI_MEM_FREE_ASYNC: aliveBlocks, C.AI_HOST_FREE: alivePinned,
		C.AI_DNN_DESTROY: aliveHandles, C.AI_LT_DESTROY: aliveHandles,
		C.AI_DNN_DESTROY_DESC: aliveDescriptors, C.AI_LT_DESTROY_PLAN: aliveDescriptors}
)

// note counts a call that went well.
func (c *census) note(call C.int) {
	if k, ok := births[call]; ok {
		c[k].Add(1)
	} else if k, ok := deaths[call]; ok {
		c[k].Add(-1)
	}
}

// Alive returns what was created through a and not yet given back.
func (a *API) Alive() Alive {
	n := func(k int) int { return int(a.census[k].Load()) }
	return Alive{Contexts: n(aliveContexts), Streams: n(aliveStreams), Events: n(aliveEvents),
		Graphs: n(aliveGraphs), Execs: n(aliveExecs), Modules: n(aliveModules),
		Blocks: n(aliveBlocks), Pinned: n(alivePinned), Handles: n(aliveHandles),
		Descriptors: n(aliveDescriptors)}
}
