// A token drawn from a row of logits, by one block: mask, penalties, what is added, what is raised,
// temperature, top-k, top-p, min-p, and the draw. With the same number it is the token that the
// processor's sampler draws, whose order of operations is kept to the bit.
//
// Where that takes more candidates than there is room for, or a logit is no finite number, no token is
// drawn, and the row is for the processor.
#include "best.cuh"
#include "weigh.cuh"

constexpr unsigned DRAW_THREADS = 1024;
// Likeliest tokens that can be asked for.
constexpr unsigned MAX_LIKELIEST = 20;
// Laid out as in `src/draw/staged.rs`. Lists begin at words.
struct Draw {
    double number;
    unsigned row;
    // The copy of the row that can be changed.
    unsigned copy;
    unsigned mask;
    // Pairs of a token and how often the answer has it.
    unsigned seen, n_seen;
    // Pairs of a token and what is added to its logit; those of one token side by side.
    unsigned added, n_added;
    unsigned raised;
    float share;
    float repetition, presence, frequency;
    float sharpness;
    unsigned top_k;
    float top_p, min_p;
    // How many of the likeliest tokens are wanted with it; NOTHING: nothing of the kind.
    unsigned n_likeliest;
    unsigned unused;
};

// Laid out as in `src/draw/staged.rs`, as well.
struct Drawn {
    // Of all weights, where the likeliest token weighs 1, by the logits as they were.
    double mass;
    unsigned token;
    // The logits as they were: the token's, and the largest.
    float logit, max;
    unsigned n_likeliest;
    Candidate likeliest[MAX_LIKELIEST];
};

union Room {
    struct {
        Candidate candidates[N_CANDIDATES];
        float weights[N_CANDIDATES];
        unsigned bins[N_BINS];
    } few;
    float sums[N_BINS];
    struct {
        double totals[N_BINS];
        float weights[SUMMED];
    } all;
};

__device__ __forceinline__ bool is_finite(float x) { return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u; }

// What was masked stays masked, what was finite stays finite.
__device__ __forceinline__ float clamped(float x) {
    constexpr float LARGEST = 3.40282347e38f;
    return fminf(fmaxf(x, -LARGEST), LARGEST);
}

__device__ __forceinline__ float plus(float logit, float amount) {
    return logit > -INFINITY ? clamped(__fadd_rn(logit, amount)) : logit;
}

// Repetition, presence and frequency penalties; then what is added. Each thread has tokens of its own.
__device__ __forceinline__ void change(const Draw &draw, const unsigned *words, float *row) {
    const unsigned *seen = words + draw.seen, *added = words + draw.added;
    for (unsigned i = threadIdx.x; i < draw.n_seen; i += blockDim.x) {
        float *logit = row + seen[2 * i], old = *logit;
        unsigned n = seen[2 * i + 1];
        if (old > -INFINITY) {
            float scaled = old > 0.0f ? __fdiv_rn(old, draw.repetition) : __fmul_rn(old, draw.repetition);
            float less = __fmul_rn(draw.frequency, static_cast<float>(n));
            *logit = clamped(__fsub_rn(__fsub_rn(scaled, less), n > 0 ? draw.presence : 0.0f));
        }
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < draw.n_added; i += blockDim.x) {
        unsigned token = added[2 * i];
        if (i > 0 && added[2 * (i - 1)] == token) {
            continue; // Of the thread that has the first of them.
        }
        float logit = row[token];
        for (unsigned j = i; j < draw.n_added && added[2 * j] == token; j++) {
            logit = plus(logit, __uint_as_float(added[2 * j + 1]));
        }
        row[token] = logit;
    }
    __syncthreads();
}

// Moves a token's logit towards the largest one, by a share of the way. Returns the best of then.
__device__ __forceinline__ Candidate raise(const Draw &draw, float *row, Candidate best) {
    float old = row[draw.raised];
    float missing = __fsub_rn(logit_of(best), old);
    float raised = is_finite(missing) ? plus(old, __fmul_rn(missing, draw.share)) : old;
    __syncthreads();
    if (threadIdx.x == 0) {
        row[draw.raised] = raised;
    }
    __syncthreads();
    return better(best, candidate(raised, draw.raised));
}

// Where top-p of `mass`, or min-p, ends the `n` best, by one thread; `otherwise` if nowhere.
__device__ __forceinline__ unsigned prefix(const Draw &draw, const float *weights, unsigned n, double mass,
                                           unsigned otherwise) {
    double sum = 0.0, limit = __dmul_rn(static_cast<double>(draw.top_p), mass);
    for (unsigned i = 0; i < n; i++) {
        if (weights[i] < draw.min_p) {
            return i;
        }
        sum += static_cast<double>(weights[i]);
        if (draw.top_p < 1.0f && sum >= limit) {
            return i + 1;
        }
    }
    return otherwise;
}

// A token by one thread of the best ones, of which `keep` are here and weighed.
__device__ __forceinline__ unsigned pick_of_few(const Draw &draw, const Room &room, unsigned keep, bool is_all,
                                                double mass) {
    const float *weights = room.few.weights;
    mass = draw.top_k > 0 ? sum_of(weights, keep) : mass;
    unsigned kept = prefix(draw, weights, keep, mass, is_all ? keep : NOTHING);
    if (kept == NOTHING) {
        return NOTHING;
    }
    double target = __dmul_rn(draw.number, sum_of(weights, kept));
    return token_of(room.few.candidates[pick(weights, kept, target)]);
}

// The weights of all tokens; thread 0 has the sum.
__device__ __forceinline__ double mass_of(const float *row, unsigned n_tokens, Scale scale, Room &room) {
    double mass = 0.0;
    __syncthreads();
    sum_stretches(row, n_tokens, scale, room.sums);
    __syncthreads();
    for (unsigned i = 0; threadIdx.x == 0 && i < (n_tokens + SUMMED - 1) / SUMMED; i++) {
        mass += static_cast<double>(room.sums[i]);
    }
    __syncthreads();
    return mass;
}

// A token of the best ones; thread 0 has it.
__device__ __forceinline__ unsigned draw_of_few(const Draw &draw, const float *row, unsigned n_tokens,
                                                Scale scale, Room &room) {
    bool needs_mass = draw.top_k == 0 && draw.top_p < 1.0f;
    double mass = needs_mass ? mass_of(row, n_tokens, scale, room) : 0.0;
    unsigned n_possible, n = find_best(row, n_tokens, scale.max, draw.top_k, room.few.candidates,
                                       room.few.bins, &n_possible);
    if (n == NOTHING) {
        return NOTHING;
    }
    unsigned keep = draw.top_k > 0 ? min(draw.top_k, n) : n;
    for (unsigned i = threadIdx.x; i < keep; i += blockDim.x) {
        room.few.weights[i] = scale.weight(logit_of(room.few.candidates[i]));
    }
    __syncthreads();
    bool is_all = draw.top_k > 0 || n == n_possible;
    return threadIdx.x == 0 ? pick_of_few(draw, room, keep, is_all, mass) : NOTHING;
}

// A token of all, in their own order; thread 0 has it.
__device__ __forceinline__ unsigned draw_of_all(const Draw &draw, const float *row, unsigned n_tokens,
                                                Scale scale, Room &room) {
    __shared__ unsigned chosen;
    double target = 0.0;
    total_stretches(row, n_tokens, scale, room.all.totals);
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned n_stretches = (n_tokens + SUMMED - 1) / SUMMED;
        double sum = 0.0;
        for (unsigned i = 0; i < n_stretches; i++) {
            sum += room.all.totals[i];
        }
        target = __dmul_rn(draw.number, sum);
        chosen = 0;
        for (unsigned i = 0; i < n_stretches; i++) {
            double total = room.all.totals[i];
            if (total > 0.0) {
                chosen = i;
                if (target < total) {
                    break;
                }
                target -= total;
            }
        }
    }
    __syncthreads();
    unsigned first = chosen * SUMMED, len = stretch_len(first, n_tokens);
    for (unsigned i = threadIdx.x; i < len; i += blockDim.x) {
        room.all.weights[i] = scale.weight(row[first + i]);
    }
    __syncthreads();
    return threadIdx.x == 0 ? first + pick(room.all.weights, len, target) : NOTHING;
}

// Reads a row, and copies it where it is to be changed, without what the mask forbids. Returns the best
// that this thread has read; whether a logit is no finite number is in `is_broken`.
__device__ __forceinline__ Candidate read_row(const float *from, const unsigned *mask, float *copy,
                                              unsigned n_tokens, unsigned *is_broken) {
    Candidate best = NOBODY;
    for (unsigned i = threadIdx.x; i < n_tokens; i += blockDim.x) {
        float logit = from[i];
        if (!is_finite(logit)) {
            atomicOr(is_broken, 1u);
            break;
        }
        best = better(best, candidate(logit, i));
        if (copy != nullptr) {
            bool is_allowed = mask == nullptr || (mask[i / 32] >> (i % 32) & 1u) != 0;
            copy[i] = is_allowed ? logit : -INFINITY;
        }
    }
    return best;
}

// What is said of a row beside a token: the likeliest ones, and what all weigh together. Returns whether
// there was room for them.
__device__ __forceinline__ bool describe(const Draw &draw, const float *row, unsigned n_tokens, Candidate best,
                                         Room &room, Drawn *out) {
    Scale scale = {logit_of(best), 1.0f};
    double mass = mass_of(row, n_tokens, scale, room);
    unsigned n_possible, n = 0;
    if (draw.n_likeliest > 0) {
        n = find_best(row, n_tokens, scale.max, draw.n_likeliest, room.few.candidates, room.few.bins,
                      &n_possible);
    }
    if (n == NOTHING) {
        return false;
    }
    n = min(n, draw.n_likeliest);
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
        out->likeliest[i] = room.few.candidates[i];
    }
    if (threadIdx.x == 0) {
        out->mass = mass;
        out->max = scale.max;
        out->n_likeliest = n;
    }
    __syncthreads();
    return true;
}

// A token of a row whose best one is known; thread 0 has it.
__device__ __forceinline__ unsigned draw_of(const Draw &draw, const float *row, unsigned n_tokens,
                                            Candidate best, Room &room) {
    Scale scale = {logit_of(best), draw.sharpness};
    if (!(scale.max > -INFINITY)) {
        return NOTHING;
    }
    if (draw.sharpness == INFINITY) {
        return token_of(best);
    }
    if (draw.top_k == 0 && draw.top_p >= 1.0f && draw.min_p == 0.0f) {
        return draw_of_all(draw, row, n_tokens, scale, room);
    }
    return draw_of_few(draw, row, n_tokens, scale, room);
}

// What was drawn of the row that each draw names; where nothing was, NOTHING is the token.
extern "C" __global__ void __launch_bounds__(DRAW_THREADS)
    draw_tokens(const float *logits, const Draw *draws, const unsigned *words, float *copies, Drawn *drawn,
                unsigned n_tokens) {
    __shared__ Room room;
    __shared__ unsigned is_broken;
    const Draw draw = draws[blockIdx.x];
    Drawn *out = drawn + blockIdx.x;
    const float *raw = logits + size_t(draw.row) * n_tokens;
    float *copy = draw.copy == NOTHING ? nullptr : copies + size_t(draw.copy) * n_tokens;
    if (threadIdx.x == 0) {
        is_broken = 0;
    }
    __syncthreads();
    const unsigned *mask = draw.mask == NOTHING ? nullptr : words + draw.mask;
    Candidate best = block_best(read_row(raw, mask, copy, n_tokens, &is_broken));
    bool is_sound = is_broken == 0;
    if (is_sound && draw.n_likeliest != NOTHING) {
        is_sound = describe(draw, raw, n_tokens, best, room, out);
    }
    const float *row = raw;
    if (is_sound && copy != nullptr) {
        change(draw, words, copy);
        best = NOBODY;
        for (unsigned i = threadIdx.x; i < n_tokens; i += blockDim.x) {
            best = better(best, candidate(copy[i], i));
        }
        best = block_best(best);
        best = draw.raised == NOTHING ? best : raise(draw, copy, best);
        row = copy;
    }
    unsigned token = is_sound ? draw_of(draw, row, n_tokens, best, room) : NOTHING;
    if (threadIdx.x == 0) {
        out->token = token;
        out->logit = token == NOTHING ? 0.0f : raw[token];
    }
}
EXPORT(draw_tokens)
