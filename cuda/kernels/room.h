// room.h: the shared memory whose size the launch decides (Launch.Shared).
#pragma once
#include "port.h"

// dynamic_room returns it, at a multiple of 16 bytes.
#ifdef KSIM
DEVICE char *dynamic_room() { return (char *)ksim::dynamic_shared(); }
#else
DEVICE char *dynamic_room() {
    extern __shared__ __align__(16) char room[];
    return room;
}
#endif
