// rows.h: threads that share a row, and their sums.
#pragma once
#include "port.h"

// A Team is the threads that share a row: a warp or the whole block.
struct Team {
    int rank, size;
    i64 row;
};

DEVICE Team team_of(int per_row) {
    Team t;
    t.size = per_row;
    t.rank = threadIdx.x % per_row;
    t.row = (i64)blockIdx.x * (blockDim.x / per_row) + threadIdx.x / per_row;
    return t;
}

// team_fold joins the team's values; every thread of the block must call it.
template <typename F, typename A> DEVICE A team_fold(const Team &t, A x, A *room) {
    return t.size == WARP ? warp_fold<F>(x) : block_fold<F>(x, room);
}
