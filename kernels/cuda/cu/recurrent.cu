// Mixers with recurrent state.
#include "step.cuh"

// What the filter of a short convolution sees of a channel `back` tokens before token `token` of a
// span: the product of two parts of a row, or what the state kept of earlier tokens.
__device__ __forceinline__ float filter_input(const float *rows, const float *past, unsigned width,
                                              unsigned kernel, unsigned channel, unsigned token,
                                              unsigned back) {
    if (back > token) {
        return past[(kernel - 1 + token - back) * width + channel];
    }
    const float *row = rows + size_t(token - back) * 3 * width;
    return row[channel] * row[2 * width + channel];
}

// What the state keeps when `n` tokens of a span are through: the last inputs, oldest first. A
// channel's places are written from the oldest on, which read only younger ones.
__device__ __forceinline__ void keep_inputs(const float *rows, float *past, unsigned width, unsigned kernel,
                                            unsigned channel, unsigned n) {
    for (unsigned place = 0; place + 1 < kernel; place++) {
        past[place * width + channel] =
            filter_input(rows, past, width, kernel, channel, n - 1, kernel - 2 - place);
    }
}

// The span of a block of threads: first come `n_short` that may be there, then the long ones.
__device__ __forceinline__ Span own_span(const Span *spans, const Span *long_spans, unsigned n_short) {
    return blockIdx.y < n_short ? spans[blockIdx.y] : long_spans[blockIdx.y - n_short];
}

// Rows are `[b, c, x]`, of `width` channels each: `out = c * (filter(b * x) + bias)`. A block of
// threads has `chunk` tokens of a span. Spans of one chunk also keep their state; that of longer ones
// is still read here, and kept by `short_conv_keep`.
extern "C" __global__ void short_conv(const float *x, const float *filter, const float *bias, float *state,
                                      float *out, const Span *spans, const Span *long_spans,
                                      unsigned n_short, unsigned width, unsigned kernel, unsigned chunk) {
    await_earlier_launches();
    Span span = own_span(spans, long_spans, n_short);
    unsigned channel = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned begin = blockIdx.z * chunk, end = min(begin + chunk, span.n_rows);
    if (begin >= end || channel >= width) {
        return;
    }
    const float *rows = x + size_t(span.first_row) * 3 * width;
    float *past = state + size_t(span.slot) * (kernel - 1) * width;
    const float *taps = filter + size_t(channel) * kernel;
    float constant = bias == nullptr ? 0.0f : bias[channel];
    for (unsigned token = begin; token < end; token++) {
        float sum = 0.0f;
        for (unsigned tap = 0; tap < kernel; tap++) {
            sum += taps[tap] * filter_input(rows, past, width, kernel, channel, token, kernel - 1 - tap);
        }
        float gate = rows[size_t(token) * 3 * width + width + channel];
        out[size_t(span.first_row + token) * width + channel] = gate * (sum + constant);
    }
    if (span.n_rows <= chunk) {
        keep_inputs(rows, past, width, kernel, channel, span.n_rows);
    }
}
EXPORT(short_conv)

// Keeps the state of spans that are longer than `chunk`.
extern "C" __global__ void short_conv_keep(const float *x, float *state, const Span *spans,
                                           const Span *long_spans, unsigned n_short, unsigned width,
                                           unsigned kernel, unsigned chunk) {
    await_earlier_launches();
    Span span = own_span(spans, long_spans, n_short);
    unsigned channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (span.n_rows <= chunk || channel >= width) {
        return;
    }
    const float *rows = x + size_t(span.first_row) * 3 * width;
    keep_inputs(rows, state + size_t(span.slot) * (kernel - 1) * width, width, kernel, channel, span.n_rows);
}
EXPORT(short_conv_keep)
