/* What a block of conv2d_gemm.cuh does with its two factors once they lie in shared memory: where they lie, and the
 * products, by one of four arithmetics.
 *
 *     arithmetic        stored   products                                               sums
 *     GEMM_HALF<T>      T        mma of bf16 or f16, 16 deep                            tensor cores, f32
 *     GEMM_TF32         float    mma of tf32, 8 deep, factors rounded when loaded       tensor cores, f32
 *     GEMM_3XTF32       float    three mma of tf32 for the big and small parts          f32, 8 products at a time
 *     GEMM_FMA          float    fused multiply-adds of f32, 8 x 8 results per thread   f32
 *
 * Slabs. A stage holds a slab of each factor: TILE rows of the result (or columns; here both are "lines") by a slice of
 * the depth, 64 bytes of it: 32 values of 16 bits or 16 of 32. It is made of pieces of 16 bytes and lies
 *     ALONG     with the depth contiguous: 4 pieces to a line, piece p of line l at 4l + (p ^ (l/2 & 3));
 *     ACROSS    with the lines contiguous, as they are in memory where the depth is not: TILE/8 or TILE/4 pieces to a
 *               value of the depth, piece p of depth d at (pieces)d + (p ^ twist(d)), with twist d & 7 of 16 bits,
 *               2(d & 3) of 32.
 * The exclusive or spreads over the banks what is read at once. A bank group is a place modulo 8 (8 x 16 bytes make the
 * 128 of all banks):
 *     copies        8 neighbouring threads write 2 lines ALONG: groups 4(l & 1) + (p ^ x), one x for both: 8 different.
 *                   ACROSS: 8 neighbouring pieces of one depth, all twisted alike: 8 different.
 *     ldmatrix      ALONG takes one p of 8 lines: 4(l & 1) + (p ^ (l/2 & 3)): 8 different. ACROSS (16 bits, transposed)
 *                   one p of 8 depths: p ^ (d & 7): 8 different.
 *     32 bits       ACROSS, a fragment of tf32 reads depths t = 0..3 of lines 0..7 from a multiple of 8: pieces 2i and
 *                   2i + 1, twisted by 2t: 8 different groups, 4 words each: all 32 banks.
 *     64, 128 bits  fused multiply-adds: 8 lanes with lines of their own read half of one p of 8 neighbouring lines
 *                   ALONG, or 8 neighbouring pieces ACROSS: as above. The other factor has 4 different lines, as every
 *                   8 lanes of a warp share theirs.
 *
 * The three products: x = big + small + e with big = rna(x), small = rna(x - big) and v = 2^-11, so that |small| <=
 * v(1+v) |x| and |e| <= v^2 |x|. What is left out is small * small, and what e touches: relative to |x w| at most
 * 3v^2 + 2v^3 + 2v^4, 12.01 times the 2^-24 of f32 (FV_NOTE_3XTF32 in verify/bounds.c; integers up to 2^11 have no
 * small part). The tensor core cuts its sums off, always towards zero, which adds up over a long depth; so it sums only
 * 8 products deep from zero, and those sums are added in f32, rounded to nearest (Ootomo and Yokota 2022,
 * doi:10.1177/10943420221090256; three products: Markidis et al. 2018, arXiv:1803.04014). Beyond 2^127 and for
 * infinities the small part is a NaN. */
#ifndef FOVEA_CONV2D_GEMM_MULTIPLY_CUH
#define FOVEA_CONV2D_GEMM_MULTIPLY_CUH

#include "mma.cuh"

namespace FV_NAMESPACE {

template <typename STORED>
struct GEMM_HALF {
    using T = STORED;
    using FACTOR = STORED; /* of mma */
    static constexpr bool TENSOR_CORES = true, THREE_PRODUCTS = false;
};

struct GEMM_TF32 {
    using T = float;
    using FACTOR = tf32;
    static constexpr bool TENSOR_CORES = true, THREE_PRODUCTS = false;
};

struct GEMM_3XTF32 {
    using T = float;
    using FACTOR = tf32;
    static constexpr bool TENSOR_CORES = true, THREE_PRODUCTS = true;
};

struct GEMM_FMA {
    using T = float;
    static constexpr bool TENSOR_CORES = false;
};

enum gemm_layout { ALONG, ACROSS };

constexpr int GEMM_SLICE_BYTES = 64, GEMM_PIECE_BYTES = 16;
constexpr int GEMM_PIECES = GEMM_SLICE_BYTES / GEMM_PIECE_BYTES;

template <typename T>
constexpr int GEMM_DEPTH = GEMM_SLICE_BYTES / sizeof(T);
template <typename T>
constexpr int GEMM_LANES = GEMM_PIECE_BYTES / sizeof(T); /* values of a piece */

/* Elements of one slab. */
template <typename T, int TILE>
constexpr int GEMM_SLAB = TILE *GEMM_DEPTH<T>;

template <typename ARITHMETIC, int TILE>
constexpr int GEMM_THREADS = ARITHMETIC::TENSOR_CORES ? (TILE == 128 ? 256 : 128) : TILE *TILE / 64;

/* Where in a slab, in elements, piece p of line l lies, or piece p of depth l. */
template <gemm_layout LAYOUT, typename T, int TILE>
__device__ __forceinline__ int gemm_piece(int l, int p) {
    if constexpr (LAYOUT == ALONG)
        return (GEMM_PIECES * l + (p ^ (l >> 1 & 3))) * GEMM_LANES<T>;
    const int twist = sizeof(T) == 2 ? l & 7 : 2 * (l & 3);
    return (TILE / GEMM_LANES<T> * l + (p ^ twist)) * GEMM_LANES<T>;
}

/* Where line `line` at depth `depth` lies. */
template <gemm_layout LAYOUT, typename T, int TILE>
__device__ __forceinline__ int gemm_element(int line, int depth) {
    constexpr int LANES = GEMM_LANES<T>;
    if constexpr (LAYOUT == ALONG)
        return gemm_piece<LAYOUT, T, TILE>(line, depth / LANES) + depth % LANES;
    return gemm_piece<LAYOUT, T, TILE>(depth, line / LANES) + line % LANES;
}

/* Results in shared memory on their way out: floats from row to row. With 8 mod 32 the pairs that four lanes of a group
 * and eight groups write fill all banks. */
template <int TILE>
constexpr int GEMM_PITCH = TILE + 8;

/* ---- tensor cores: 2 warps along the rows, each of TILE/2 rows by 32 columns ---- */

/* The registers of COUNT mma in a column, 16 lines from `line` on for each, at both of its depths: r[i] of a. STEP: 0
 * or 1, the slice has two. COLUMNS: of b, where 16 lines are two mma, with r[i][0], r[i][1] and r[i][2], r[i][3]: the
 * registers go through depth before lines. */
template <gemm_layout LAYOUT, bool COLUMNS, int TILE, typename T, int COUNT>
__device__ __forceinline__ void gemm_fragments(uint32_t (&r)[COUNT][4], const T *slab, int line, int step) {
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    if constexpr (LAYOUT == ALONG || sizeof(T) == 2) {
        /* Matrices 0 to 3 in the order of the registers: `inner` changes from 0 to 1, `outer` from 0, 1 to 2, 3. */
        const int inner = lane / 8 % 2, outer = lane / 16;
        const int of_lines = COLUMNS ? outer : inner, of_depth = COLUMNS ? inner : outer;
        const void *rows[COUNT];
        FV_UNROLL
        for (int i = 0; i < COUNT; ++i)
            rows[i] =
                slab +
                (LAYOUT == ALONG
                     ? gemm_piece<ALONG, T, TILE>(line + 16 * i + 8 * of_lines + lane % 8, 2 * step + of_depth)
                     : gemm_piece<ACROSS, T, TILE>(16 * step + 8 * of_depth + lane % 8, line / 8 + 2 * i + of_lines));
        load_matrices<LAYOUT == ACROSS>(r, rows);
    } else {
        const int g = lane / 4, t = lane % 4;
        FV_UNROLL
        for (int i = 0; i < 4 * COUNT; ++i) {
            const int low = i % 2, high = i / 2 % 2, first = line + i / 4 * 16;
            r[i / 4][i % 4] = bits_of_float(slab[gemm_element<ACROSS, T, TILE>(
                first + g + 8 * (COLUMNS ? high : low), 8 * step + t + 4 * (COLUMNS ? low : high))]);
        }
    }
}

/* What of a value the first product takes, and what of the rest the others. */
__device__ __forceinline__ void split_tf32(uint32_t bits, uint32_t &big, uint32_t &small) {
    const float value = float_of_bits(bits);
    big = round_to_tf32(value) & 0xffffe000u; /* the 13 low bits are not said to be 0 */
    small = round_to_tf32(value - float_of_bits(big));
}

template <typename ARITHMETIC, int TILE, gemm_layout A, gemm_layout B>
struct tensor_core_sums {
    using T = typename ARITHMETIC::T;
    using FACTOR = typename ARITHMETIC::FACTOR;
    static constexpr int ROWS = TILE / 2, COLUMNS = 32, DOWN = ROWS / 16, RIGHT = COLUMNS / 8;

    float sum[DOWN][RIGHT][4] = {};

    static __device__ __forceinline__ int first_row() {
        return static_cast<int>(threadIdx.x) / WARP / (TILE / COLUMNS) * ROWS;
    }
    static __device__ __forceinline__ int first_column() {
        return static_cast<int>(threadIdx.x) / WARP % (TILE / COLUMNS) * COLUMNS;
    }

    __device__ __forceinline__ void add(const T *a, const T *b) {
        if constexpr (ARITHMETIC::THREE_PRODUCTS) {
            /* The parts of one step fill the registers, */
            FV_NO_UNROLL
            for (int step = 0; step < 2; ++step)
                add_three(a, b, step);
        } else if constexpr (B == ACROSS) {
            /* or would with what the other passes keep of their addresses. */
            FV_NO_UNROLL
            for (int step = 0; step < 2; ++step)
                add_one(a, b, step);
        } else {
            FV_UNROLL
            for (int step = 0; step < 2; ++step)
                add_one(a, b, step);
        }
    }

    /* The factors of COUNT mma side by side, from number j on. */
    template <int COUNT>
    static __device__ __forceinline__ void load_columns(uint32_t (&of_b)[COUNT][2], const T *b, int j, int step) {
        uint32_t pairs[COUNT / 2][4];
        gemm_fragments<B, true, TILE>(pairs, b, first_column() + 8 * j, step);
        FV_UNROLL
        for (int i = 0; i < 2 * COUNT; ++i)
            of_b[i / 2][i % 2] = pairs[i / 4][i % 4];
    }

    __device__ __forceinline__ void add_one(const T *a, const T *b, int step) {
        uint32_t of_a[DOWN][4], of_b[RIGHT][2];
        gemm_fragments<A, false, TILE>(of_a, a, first_row(), step);
        load_columns(of_b, b, 0, step);
        round(of_a);
        round(of_b);
        mma_grid<FACTOR>(sum, of_a, of_b);
    }

    template <int COUNT, int EACH>
    static __device__ __forceinline__ void round(uint32_t (&factors)[COUNT][EACH]) {
        if constexpr (sizeof(T) == 4) {
            FV_UNROLL
            for (int i = 0; i < COUNT; ++i) {
                FV_UNROLL
                for (int j = 0; j < EACH; ++j)
                    factors[i][j] = round_to_tf32(float_of_bits(factors[i][j]));
            }
        }
    }

    template <int COUNT, int EACH>
    static __device__ __forceinline__ void split(const uint32_t (&factors)[COUNT][EACH], uint32_t (&big)[COUNT][EACH],
                                                 uint32_t (&small)[COUNT][EACH]) {
        FV_UNROLL
        for (int i = 0; i < COUNT; ++i) {
            FV_UNROLL
            for (int j = 0; j < EACH; ++j)
                split_tf32(factors[i][j], big[i][j], small[i][j]);
        }
    }

    /* Two columns of mma at a time; the smallest products first. */
    __device__ __forceinline__ void add_three(const T *a, const T *b, int step) {
        uint32_t of_a[DOWN][4], big_a[DOWN][4], small_a[DOWN][4];
        gemm_fragments<A, false, TILE>(of_a, a, first_row(), step);
        split(of_a, big_a, small_a);
        FV_UNROLL
        for (int j = 0; j < RIGHT; j += 2) {
            uint32_t of_b[2][2], big_b[2][2], small_b[2][2];
            load_columns(of_b, b, j, step);
            split(of_b, big_b, small_b);
            float part[DOWN][2][4] = {};
            mma_grid<FACTOR>(part, small_a, big_b);
            mma_grid<FACTOR>(part, big_a, small_b);
            mma_grid<FACTOR>(part, big_a, big_b);
            FV_UNROLL
            for (int i = 0; i < DOWN; ++i) {
                FV_UNROLL
                for (int e = 0; e < 8; ++e)
                    sum[i][j + e / 4][e % 4] += part[i][e / 4][e % 4];
            }
        }
    }

    /* Puts the results into rows of GEMM_PITCH floats. */
    __device__ __forceinline__ void put(float *results) const {
        const int lane = static_cast<int>(threadIdx.x) % WARP, g = lane / 4, t = lane % 4;
        FV_UNROLL
        for (int i = 0; i < DOWN; ++i) {
            FV_UNROLL
            for (int j = 0; j < RIGHT; ++j) {
                FV_UNROLL
                for (int half = 0; half < 2; ++half) {
                    const int row = first_row() + 16 * i + 8 * half + g, column = first_column() + 8 * j + 2 * t;
                    *reinterpret_cast<float2 *>(&results[row * GEMM_PITCH<TILE> + column]) =
                        make_float2(sum[i][j][2 * half], sum[i][j][2 * half + 1]);
                }
            }
        }
    }
};

/* ---- fused multiply-adds: a thread has 8 x 8 results, a warp 4 x 8 threads ---- */

template <int TILE, gemm_layout A, gemm_layout B>
struct fma_sums {
    static constexpr int SIDE = TILE / 8; /* threads along a side of the tile */

    float sum[8][8] = {};

    static __device__ __forceinline__ int thread_row() {
        const int thread = static_cast<int>(threadIdx.x);
        return thread / WARP / (SIDE / 8) * 4 + thread % WARP / 8;
    }
    static __device__ __forceinline__ int thread_column() {
        const int thread = static_cast<int>(threadIdx.x);
        return thread / WARP % (SIDE / 8) * 8 + thread % 8;
    }

    /* Line i of a thread's 8, whose first is number `at`: SIDE apart, or two fours where four at once are a read. */
    template <gemm_layout LAYOUT>
    static __device__ __forceinline__ int line_of(int at, int i) {
        return LAYOUT == ALONG ? at + SIDE * i : i / 4 * (TILE / 2) + 4 * at + i % 4;
    }

    /* The 8 lines at one depth, ACROSS. */
    static __device__ __forceinline__ void load_lines(float (&to)[8], const float *slab, int at, int depth) {
        FV_UNROLL
        for (int half = 0; half < 2; ++half) {
            const float4 four = *reinterpret_cast<const float4 *>(
                slab + gemm_piece<ACROSS, float, TILE>(depth, half * (TILE / 8) + at));
            to[4 * half] = four.x;
            to[4 * half + 1] = four.y;
            to[4 * half + 2] = four.z;
            to[4 * half + 3] = four.w;
        }
    }

    /* The 8 lines at the two depths of a pair, [line][depth]. */
    template <gemm_layout LAYOUT>
    static __device__ __forceinline__ void load_pair(float (&to)[8][2], const float *slab, int at, int pair) {
        if constexpr (LAYOUT == ALONG) {
            FV_UNROLL
            for (int i = 0; i < 8; ++i) {
                const float2 two = *reinterpret_cast<const float2 *>(
                    slab + gemm_piece<ALONG, float, TILE>(line_of<ALONG>(at, i), pair / 2) + pair % 2 * 2);
                to[i][0] = two.x;
                to[i][1] = two.y;
            }
        } else {
            FV_UNROLL
            for (int depth = 0; depth < 2; ++depth) {
                float lines[8];
                load_lines(lines, slab, at, 2 * pair + depth);
                FV_UNROLL
                for (int i = 0; i < 8; ++i)
                    to[i][depth] = lines[i];
            }
        }
    }

    __device__ __forceinline__ void add(const float *a, const float *b) {
        const int row = thread_row(), column = thread_column();
        /* The factors of two pairs and the sums would not fit the registers. */
        FV_NO_UNROLL
        for (int pair = 0; pair < GEMM_DEPTH<float> / 2; ++pair) {
            float of_a[8][2], of_b[8][2];
            load_pair<A>(of_a, a, row, pair);
            load_pair<B>(of_b, b, column, pair);
            FV_UNROLL
            for (int depth = 0; depth < 2; ++depth) {
                FV_UNROLL
                for (int i = 0; i < 8; ++i) {
                    FV_UNROLL
                    for (int j = 0; j < 8; ++j)
                        sum[i][j] = fmaf(of_a[i][depth], of_b[j][depth], sum[i][j]);
                }
            }
        }
    }

    __device__ __forceinline__ void put(float *results) const {
        FV_UNROLL
        for (int i = 0; i < 8; ++i) {
            FV_UNROLL
            for (int j = 0; j < 8; ++j)
                results[line_of<A>(thread_row(), i) * GEMM_PITCH<TILE> + line_of<B>(thread_column(), j)] = sum[i][j];
        }
    }
};

template <typename ARITHMETIC, int TILE, gemm_layout A, gemm_layout B>
struct gemm_sums : tensor_core_sums<ARITHMETIC, TILE, A, B> {};

template <int TILE, gemm_layout A, gemm_layout B>
struct gemm_sums<GEMM_FMA, TILE, A, B> : fma_sums<TILE, A, B> {};

} // namespace FV_NAMESPACE

#endif
