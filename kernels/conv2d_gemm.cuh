/* Implicit GEMM: the passes of conv2d as matrix products whose gathered factor never lies in memory.
 *
 *     pass               rows               columns       depth                    first factor      second factor
 *     forward            pixels (n,p,q)     filters k     taps, c of the group     x   ALONG         w   ALONG
 *     backward_data      pixels (n,h,w)     channels c    taps, k of the group     dy  ALONG         w   ACROSS
 *                        of one class
 *     backward_weights   filters k          (r,s,c)       pixels (n,p,q)           dy  ACROSS        x   ACROSS
 *
 * Everything is NHWC, so that a piece of 16 bytes of either factor is contiguous in memory, along the depth or across
 * it (conv2d_gemm_multiply.cuh); it is copied asynchronously (cp.async) into one of GEMM_STAGES stages of shared
 * memory, with zeros for what lies in the padding or behind the last channel, pixel or filter. While a slice of the
 * depth, 64 bytes of each row and column, is multiplied, the next three are on their way; one barrier a slice.
 * - forward and backward_data go through the taps one by one and through a tap's channels in slices, so that a slice
 *   has one tap; where a row's window begins is found once per block and kept in shared memory.
 * - backward_data takes the pixels of dx class by class of their residue modulo the stride, as conv2d_tile.cuh does:
 *   those of one class see the same taps, every (stride/gcd)th, and are a correlation without stride. A block stays
 *   within one class, all classes are one launch, and a class without taps writes zeros (or the bias of a transposed
 *   convolution).
 * - backward_weights sums over all pixels, which are cut into splits (splits.cuh); each writes f32 partial sums, and a
 *   second kernel adds them in order and rounds once. Blocks of the first columns add up the bias' gradient, too. A
 *   thread's pixels advance by a constant (images, rows, columns), with carries, so that nothing is divided.
 * - Channels that are no multiple of a piece, and pointers that are not aligned to 16 bytes, are read one by one with
 *   plain loads (not WIDE), in tiles of 64 x 64: right, not fast.
 * - On the way out results pass through shared memory, to be stored by rows in pieces of 16 bytes; bias and ReLU are
 *   applied there.
 *
 * Tiles: 128 x 128 with 256 threads, or 64 x 64 with 128 (64 where FMA), for few rows or columns and small grids.
 * Blocks that follow one another share the larger factor, and with few columns of tiles both.
 *
 * Shared memory and registers, per block of 128 x 128 (64 x 64): four stages of 16 (8) KiB; results 68 (18) KiB, in the
 * same place, and tables of 3 (1.5) KiB: 71 (34) KiB in all, which an H200's multiprocessor holds three (six) times.
 * Registers allow for fewer (gemm_resident): of 16 bits, and of tf32 forward, at most 128, so two (four) blocks, 16
 * warps, 25 % occupancy; of three products, of FMA, and of tf32 backward 130 to 220, one (three or four) blocks of 8 (4
 * or 2) warps. None spills.
 *
 * Intensity of a 128 x 128 tile: a slice of 16 KiB from L2 serves 2*128*128*32 FLOP (16 bits; half as many of 32
 * bits): 64 (32) FLOP per byte of L2; from shared memory every value is read by 2 or 4 warps: 21 (11). From DRAM it is
 * the operation's own, as blocks in flight share factors: ResNet's 3x3 of 64 channels has 144 FLOP per byte in f32, 288
 * in 16 bits.
 *
 * Expected on an H200 (predictions; no GPU has run this yet), large tiles, layers of 256 channels and more:
 *     bf16, f16   350 to 450 TFLOP/s: L2 at 7 TB/s gives 64 * 7 = 448; mma.sync, at about 63 % of what wgmma reaches
 *                 (Luo et al. 2024, arXiv:2402.13499), with a loop at 80 % of that 480: 45 to 55 % of the floor
 *     tf32        150 to 200: L2 gives 224; rounding and twice as many shared reads take issue slots: 30 to 40 %
 *     3xtf32      60, a third of the same without L2's limit: at the level of what the FMA units reach
 *     f32         45 to 50, 70 % of the FMA units: 8 multiply-adds for each shared read, one block of 8 warps */
#ifndef FOVEA_CONV2D_GEMM_CUH
#define FOVEA_CONV2D_GEMM_CUH

#include "async_copy.cuh"
#include "conv2d_gemm_multiply.cuh"
#include "conv2d_tile.cuh"
#include "lanes.cuh"

namespace FV_NAMESPACE {

constexpr int GEMM_STAGES = 4;

/* Shared memory of a block: the stages, and later the results. */
template <typename T, int TILE>
constexpr int64_t GEMM_STAGES_BYTES = GEMM_STAGES * 2 * GEMM_SLAB<T, TILE> * sizeof(T);
template <int TILE>
constexpr int64_t GEMM_RESULTS_BYTES = TILE *GEMM_PITCH<TILE> * sizeof(float);
template <typename T, int TILE>
constexpr int64_t GEMM_SHARED_BYTES =
    GEMM_STAGES_BYTES<T, TILE> > GEMM_RESULTS_BYTES<TILE> ? GEMM_STAGES_BYTES<T, TILE> : GEMM_RESULTS_BYTES<TILE>;

/* How many blocks share a multiprocessor, by their registers: what the compiler may give a thread follows from it.
 * Three products, fused multiply-adds and words that are loaded one by one (32 bits ACROSS) need more than 128. */
template <typename ARITHMETIC, int TILE, gemm_layout B, bool WIDE = true>
constexpr int gemm_resident() {
    if constexpr (!ARITHMETIC::TENSOR_CORES)
        return TILE == 128 ? 1 : 4;
    else if constexpr (ARITHMETIC::THREE_PRODUCTS)
        return TILE == 128 ? 1 : 3;
    else if constexpr (!WIDE)
        return 3;
    else
        return TILE == 64 ? 4 : sizeof(typename ARITHMETIC::T) == 2 || B == ALONG ? 2 : 1;
}

/* The same for every block of a launch. */
struct gemm_plan {
    tile_axis vertical, horizontal; /* of the gathered factor, uncut; for backward_weights as forward has them */
    int64_t images;
    int64_t rows; /* of one group, and of the largest class */
    int columns;  /* of one group */
    int64_t row_tiles, column_tiles;
    bool columns_first; /* the next block has the next columns, not the next rows */
    int64_t groups;
    int channels;                       /* of a group, along the depth; backward_weights: input channels of a group */
    int64_t source_pitch, result_pitch; /* channels of all groups: of the gathered tensor, of the result's or dy's */
    int64_t pixels, per_split, splits;  /* backward_weights: its depth */
    int64_t partial;                    /* floats of one partial gradient, dw and then db */
    int step_images, step_rows, step_cols; /* a slice of the pixels */
    bool relu;
    bool wide_stores; /* results may be stored 16 bytes at a time */
};

/* ---- where a block works ---- */

struct gemm_place {
    int64_t first_row, group;
    int first_column, class_h, class_w;
};

template <int TILE>
__device__ gemm_place gemm_place_of(const gemm_plan &plan) {
    int64_t block = blockIdx.x;
    const auto digit = [&block](int64_t base) {
        const int64_t value = block % base;
        block /= base;
        return value;
    };
    gemm_place place;
    if (plan.columns_first)
        place.first_column = static_cast<int>(digit(plan.column_tiles)) * TILE;
    place.first_row = digit(plan.row_tiles) * TILE;
    if (!plan.columns_first)
        place.first_column = static_cast<int>(digit(plan.column_tiles)) * TILE;
    place.group = digit(plan.groups);
    place.class_w = static_cast<int>(digit(plan.horizontal.classes));
    place.class_h = static_cast<int>(block);
    return place;
}

/* ---- copying ---- */

/* How many of a piece's values there are, from `at` on below `end`. */
template <typename T>
__device__ __forceinline__ int gemm_valid(int at, int end) {
    const int left = end - at;
    return left < 0 ? 0 : left < GEMM_LANES<T> ? left : GEMM_LANES<T>;
}

/* to[0 .. LANES) = tensor[at ...], zeros behind the first `valid`. WIDE: all are valid, or none, and `at` is a multiple
 * of LANES. */
template <bool WIDE, typename T>
__device__ __forceinline__ void gemm_copy(T *to, const T *tensor, int64_t at, int valid) {
    if constexpr (WIDE) {
        async_copy<GEMM_PIECE_BYTES>(to, valid > 0 ? tensor + at : tensor, valid > 0 ? GEMM_PIECE_BYTES : 0);
    } else {
        for (int i = 0; i < GEMM_LANES<T>; ++i)
            to[i] = i < valid ? tensor[at + i] : T{};
    }
}

/* The loop of every pass: copy(a, b) begins to bring the next slice, and what lies in a stage is multiplied three
 * slices later; then also(a). Ends with all copies arrived, and the stages free.
 *
 * The barrier stands between the wait for a slice, which makes a thread's own copies of it arrive, and its reading; and
 * between the reading of the slice before and the copies of the next into that stage. */
template <int TILE, typename T, typename SUMS, typename COPY, typename ALSO>
__device__ __forceinline__ void gemm_loop(int slices, T *stages, SUMS &sums, const COPY &copy, const ALSO &also) {
    constexpr int SLAB = GEMM_SLAB<T, TILE>;
    FV_UNROLL
    for (int stage = 0; stage < GEMM_STAGES - 1; ++stage) {
        if (stage < slices)
            copy(stages + 2 * SLAB * stage, stages + 2 * SLAB * stage + SLAB);
        async_copy_commit();
    }
    int reading = 0, writing = GEMM_STAGES - 1;
    for (int slice = 0; slice < slices; ++slice) {
        async_copy_wait<GEMM_STAGES - 2>();
        __syncthreads();
        if (slice + GEMM_STAGES - 1 < slices)
            copy(stages + 2 * SLAB * writing, stages + 2 * SLAB * writing + SLAB);
        async_copy_commit();
        const T *const a = stages + 2 * SLAB * reading;
        sums.add(a, a + SLAB);
        also(a);
        writing = reading;
        reading = reading == GEMM_STAGES - 1 ? 0 : reading + 1;
    }
    async_copy_wait<0>();
    __syncthreads();
}

/* Stores the results of the tile: row r at result[targets[r] + column], if it is any. `bias` of the group's columns may
 * be NULL. */
template <int TILE, int THREADS, typename OUT>
__device__ void gemm_store(const gemm_plan &plan, const float *results, const int64_t *targets, int first_column,
                           const OUT *bias, OUT *result) {
    constexpr int LANES = GEMM_LANES<OUT>, PIECES = TILE / LANES;
    for (int i = static_cast<int>(threadIdx.x); i < TILE * PIECES; i += THREADS) {
        const int row = i / PIECES, piece = i % PIECES;
        const int64_t target = targets[row];
        const int column = first_column + piece * LANES;
        const int valid = target < 0 ? 0 : gemm_valid<OUT>(column, plan.columns);
        channel_lanes<OUT, LANES> values;
        FV_UNROLL
        for (int e = 0; e < LANES; ++e) {
            float value = results[row * GEMM_PITCH<TILE> + piece * LANES + e];
            if (bias && e < valid)
                value += widen(bias[column + e]);
            values.at[e] = narrow<OUT>(plan.relu && value < 0 ? 0.0f : value);
        }
        if (plan.wide_stores && valid == LANES) {
            *reinterpret_cast<channel_lanes<OUT, LANES> *>(result + target + column) = values;
        } else {
            FV_UNROLL
            for (int e = 0; e < LANES; ++e)
                if (e < valid)
                    result[target + column + e] = values.at[e];
        }
    }
}

/* ---- forward and backward_data ---- */

/* The source pixel under tap 0 of a row's class; row and col may be outside of the image. */
struct gemm_window {
    int64_t image; /* pixels before it */
    int row, col;
};

constexpr int GEMM_NOWHERE = INT32_MIN; /* still outside with any tap added, as windows span less than 2^31 pixels */

/* Finds the window of each row of the tile and where its results go. */
template <int TILE, int THREADS>
__device__ void gemm_find_rows(const gemm_plan &plan, const gemm_place &place, const tile_class &v, const tile_class &h,
                               gemm_window *windows, int64_t *targets) {
    const int64_t pixels = static_cast<int64_t>(v.count) * h.count;
    for (int r = static_cast<int>(threadIdx.x); r < TILE; r += THREADS) {
        const int64_t number = place.first_row + r, image = number / pixels;
        const int64_t row = number % pixels / h.count, col = number % pixels % h.count;
        if (image >= plan.images) {
            windows[r] = {0, GEMM_NOWHERE, GEMM_NOWHERE};
            targets[r] = -1;
            continue;
        }
        windows[r] = {image * plan.vertical.source * plan.horizontal.source,
                      static_cast<int>(v.start + row * plan.vertical.advance),
                      static_cast<int>(h.start + col * plan.horizontal.advance)};
        targets[r] = ((image * plan.vertical.result + v.first + row * v.step) * plan.horizontal.result + h.first +
                      col * h.step) *
                         plan.result_pitch +
                     place.group * plan.columns;
    }
}

/* The slices in their order: where one begins. */
struct gemm_taps {
    int channel;  /* of the group */
    int row, col; /* number of the tap within the class */
    int tap;      /* of the filter */
};

/* Classes are the same correlation every (stride/gcd)th tap, in falling order. */
template <bool BACKWARD, int DEPTH>
__device__ __forceinline__ void gemm_next(gemm_taps &at, const gemm_plan &plan, int cols) {
    const int down = (BACKWARD ? -plan.vertical.period : 1) * plan.horizontal.filter;
    const int right = BACKWARD ? -plan.horizontal.period : 1;
    at.channel += DEPTH;
    if (at.channel < plan.channels)
        return;
    at.channel = 0;
    at.tap += right;
    if (++at.col == cols) {
        at.col = 0;
        ++at.row;
        at.tap += down - cols * right;
    }
}

template <typename ARITHMETIC, bool BACKWARD, int TILE, bool WIDE>
__global__ void __launch_bounds__(GEMM_THREADS<ARITHMETIC, TILE>,
                                  gemm_resident<ARITHMETIC, TILE, BACKWARD ? ACROSS : ALONG, WIDE>())
    conv2d_gemm_kernel(gemm_plan plan, const typename ARITHMETIC::T *source, const typename ARITHMETIC::T *filters,
                       const typename ARITHMETIC::T *bias, typename ARITHMETIC::T *result) {
    using T = typename ARITHMETIC::T;
    constexpr int THREADS = GEMM_THREADS<ARITHMETIC, TILE>, DEPTH = GEMM_DEPTH<T>, LANES = GEMM_LANES<T>;
    constexpr gemm_layout OF_FILTERS = BACKWARD ? ACROSS : ALONG;
    constexpr int COPIES = TILE * GEMM_PIECES / THREADS, ACROSS_PIECES = TILE / LANES;
    __shared__ gemm_window windows[TILE];
    __shared__ int64_t targets[TILE];
    static_assert(GEMM_SHARED_BYTES<T, TILE> + sizeof windows + sizeof targets <= MAX_SHARED_BYTES_OPT_IN);
    FV_DYNAMIC_SHARED(T, stages);
    const int thread = static_cast<int>(threadIdx.x);
    const gemm_place place = gemm_place_of<TILE>(plan);
    const tile_class v = tile_class_of<BACKWARD>(plan.vertical, place.class_h);
    const tile_class h = tile_class_of<BACKWARD>(plan.horizontal, place.class_w);
    gemm_find_rows<TILE, THREADS>(plan, place, v, h, windows, targets);
    __syncthreads();

    source += place.group * plan.channels;
    const int filter_pitch = plan.vertical.filter * plan.horizontal.filter * (BACKWARD ? plan.columns : plan.channels);
    filters += place.group * (BACKWARD ? plan.channels : plan.columns) * filter_pitch;
    gemm_taps at = {0, 0, 0, v.first_tap * plan.horizontal.filter + h.first_tap};
    const auto copy = [&](T *a, T *b) {
        const int row = at.row * plan.vertical.spacing, col = at.col * plan.horizontal.spacing;
        FV_UNROLL
        for (int i = 0; i < COPIES; ++i) {
            const int line = thread / GEMM_PIECES + i * (THREADS / GEMM_PIECES), piece = thread % GEMM_PIECES;
            const gemm_window window = windows[line];
            const int y = window.row + row, x = window.col + col;
            const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(plan.vertical.source) &&
                                static_cast<unsigned>(x) < static_cast<unsigned>(plan.horizontal.source);
            const int channel = at.channel + piece * LANES;
            const int64_t pixel = window.image + static_cast<int64_t>(y) * plan.horizontal.source + x;
            gemm_copy<WIDE>(a + gemm_piece<ALONG, T, TILE>(line, piece), source, pixel * plan.source_pitch + channel,
                            inside ? gemm_valid<T>(channel, plan.channels) : 0);
        }
        FV_UNROLL
        for (int i = 0; i < COPIES; ++i) {
            if constexpr (BACKWARD) {
                const int depth = thread / ACROSS_PIECES + i * (THREADS / ACROSS_PIECES),
                          piece = thread % ACROSS_PIECES;
                const int channel = at.channel + depth, column = place.first_column + piece * LANES;
                gemm_copy<WIDE>(b + gemm_piece<ACROSS, T, TILE>(depth, piece), filters,
                                static_cast<int64_t>(channel) * filter_pitch +
                                    static_cast<int64_t>(at.tap) * plan.columns + column,
                                channel < plan.channels ? gemm_valid<T>(column, plan.columns) : 0);
            } else {
                const int line = thread / GEMM_PIECES + i * (THREADS / GEMM_PIECES), piece = thread % GEMM_PIECES;
                const int channel = at.channel + piece * LANES, column = place.first_column + line;
                gemm_copy<WIDE>(b + gemm_piece<ALONG, T, TILE>(line, piece), filters,
                                static_cast<int64_t>(column) * filter_pitch +
                                    static_cast<int64_t>(at.tap) * plan.channels + channel,
                                column < plan.columns ? gemm_valid<T>(channel, plan.channels) : 0);
            }
        }
        gemm_next<BACKWARD, DEPTH>(at, plan, h.taps);
    };

    gemm_sums<ARITHMETIC, TILE, ALONG, OF_FILTERS> sums;
    const int slices = v.taps * h.taps * static_cast<int>(ceil_div(plan.channels, DEPTH));
    gemm_loop<TILE>(slices, stages, sums, copy, [](const T *) {});
    float *const results = reinterpret_cast<float *>(stages);
    sums.put(results);
    __syncthreads();
    gemm_store<TILE, THREADS>(plan, results, targets, place.first_column,
                              bias ? bias + place.group * plan.columns : nullptr, result);
}

/* ---- backward_weights ---- */

/* Where column (r,s,c) reads x: pixels from the window's corner, and the channel of the group; -1 for no column. */
struct gemm_column {
    int down, across, channel;
};

__device__ inline gemm_column gemm_column_of(const gemm_plan &plan, int column) {
    if (column >= plan.columns)
        return {0, 0, -1};
    const int tap = column / plan.channels;
    return {tap / plan.horizontal.filter * plan.vertical.dilation,
            tap % plan.horizontal.filter * plan.horizontal.dilation, column - tap * plan.channels};
}

/* A pixel of the sum. */
struct gemm_pixel {
    int64_t number;
    int image, row, col; /* of the output */
};

__device__ __forceinline__ gemm_pixel gemm_pixel_of(const gemm_plan &plan, int64_t number) {
    const int64_t line = number / plan.horizontal.result, image = line / plan.vertical.result;
    return {number, static_cast<int>(image), static_cast<int>(line - image * plan.vertical.result),
            static_cast<int>(number - line * plan.horizontal.result)};
}

template <int DEPTH>
__device__ __forceinline__ void gemm_next(gemm_pixel &at, const gemm_plan &plan) {
    at.number += DEPTH;
    at.col += plan.step_cols;
    at.row += plan.step_rows;
    at.image += plan.step_images;
    if (at.col >= plan.horizontal.result) {
        at.col -= plan.horizontal.result;
        ++at.row;
    }
    if (at.row >= plan.vertical.result) {
        at.row -= plan.vertical.result;
        ++at.image;
    }
}

/* Element of x under a column's tap at a pixel; -1: none, it is in the padding. */
__device__ __forceinline__ int64_t gemm_element_of_x(const gemm_plan &plan, const gemm_pixel &at, gemm_column column) {
    const int y = at.row * plan.vertical.stride - plan.vertical.pad + column.down;
    const int x = at.col * plan.horizontal.stride - plan.horizontal.pad + column.across;
    const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(plan.vertical.source) &&
                        static_cast<unsigned>(x) < static_cast<unsigned>(plan.horizontal.source);
    const int64_t pixel = (static_cast<int64_t>(at.image) * plan.vertical.source + y) * plan.horizontal.source + x;
    return inside && column.channel >= 0 ? pixel * plan.source_pitch + column.channel : -1;
}

/* Partial gradient number blockIdx.y goes to parts + blockIdx.y * partial, dw and then, if `sums_bias`, db. */
template <typename ARITHMETIC, int TILE, bool WIDE>
__global__ void __launch_bounds__(GEMM_THREADS<ARITHMETIC, TILE>, gemm_resident<ARITHMETIC, TILE, ACROSS, WIDE>())
    conv2d_gemm_weights_kernel(gemm_plan plan, const typename ARITHMETIC::T *x, const typename ARITHMETIC::T *dy,
                               float *dw, float *db) {
    using T = typename ARITHMETIC::T;
    constexpr int THREADS = GEMM_THREADS<ARITHMETIC, TILE>, DEPTH = GEMM_DEPTH<T>, LANES = GEMM_LANES<T>;
    constexpr int COPIES = TILE * GEMM_PIECES / THREADS, PIECES = TILE / LANES;
    __shared__ gemm_column columns[WIDE ? 1 : TILE];
    __shared__ int64_t targets[TILE];
    static_assert(GEMM_SHARED_BYTES<T, TILE> + sizeof columns + sizeof targets <= MAX_SHARED_BYTES_OPT_IN);
    FV_DYNAMIC_SHARED(T, stages);
    const int thread = static_cast<int>(threadIdx.x), piece = thread % PIECES;
    const gemm_place place = gemm_place_of<TILE>(plan);
    for (int i = thread; i < TILE; i += THREADS) {
        const int64_t row = place.first_row + i;
        targets[i] = row < plan.rows ? static_cast<int64_t>(blockIdx.y) * plan.partial +
                                           (place.group * plan.rows + row) * plan.columns
                                     : -1;
        if (!WIDE)
            columns[i] = gemm_column_of(plan, place.first_column + i);
    }
    __syncthreads();

    dy += place.group * plan.rows;
    x += place.group * plan.channels;
    const int64_t first = blockIdx.y * plan.per_split;
    const int64_t end = first + plan.per_split < plan.pixels ? first + plan.per_split : plan.pixels;
    const gemm_column own = gemm_column_of(plan, place.first_column + piece * LANES);
    const int valid_rows =
        gemm_valid<T>(static_cast<int>(place.first_row) + piece * LANES, static_cast<int>(plan.rows));
    gemm_pixel at[COPIES];
    FV_UNROLL
    for (int i = 0; i < COPIES; ++i)
        at[i] = gemm_pixel_of(plan, first + thread / PIECES + i * (THREADS / PIECES));
    const auto copy = [&](T *a, T *b) {
        FV_UNROLL
        for (int i = 0; i < COPIES; ++i) {
            const int depth = thread / PIECES + i * (THREADS / PIECES);
            const bool any = at[i].number < end;
            const int place_in_slab = gemm_piece<ACROSS, T, TILE>(depth, piece);
            gemm_copy<WIDE>(a + place_in_slab, dy, at[i].number * plan.result_pitch + place.first_row + piece * LANES,
                            any ? valid_rows : 0);
            if constexpr (WIDE) {
                const int64_t from = gemm_element_of_x(plan, at[i], own);
                gemm_copy<WIDE>(b + place_in_slab, x, from, any && from >= 0 ? LANES : 0);
            } else {
                for (int e = 0; e < LANES; ++e) {
                    const int64_t from = gemm_element_of_x(plan, at[i], columns[piece * LANES + e]);
                    b[place_in_slab + e] = any && from >= 0 ? x[from] : T{};
                }
            }
            gemm_next<DEPTH>(at[i], plan);
        }
    };

    const bool sums_bias = db && place.first_column == 0 && thread < TILE;
    float bias_sum = 0;
    gemm_sums<ARITHMETIC, TILE, ACROSS, ACROSS> sums;
    gemm_loop<TILE>(static_cast<int>(ceil_div(end - first, DEPTH)), stages, sums, copy, [&](const T *a) {
        if (sums_bias)
            for (int depth = 0; depth < DEPTH; ++depth)
                bias_sum += widen(a[gemm_element<ACROSS, T, TILE>(thread, depth)]);
    });
    if (sums_bias && place.first_row + thread < plan.rows)
        db[blockIdx.y * plan.partial + place.group * plan.rows + place.first_row + thread] = bias_sum;
    float *const results = reinterpret_cast<float *>(stages);
    sums.put(results);
    __syncthreads();
    gemm_store<TILE, THREADS, float>(plan, results, targets, place.first_column, nullptr, dw);
}

} // namespace FV_NAMESPACE

#endif
