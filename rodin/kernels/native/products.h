// Products of matrices and rows of batches, in registers: what the network is made of, and the memory that it takes.
//
// Every width is padded with zeros to a multiple of 16.
#pragma once
#include <stdlib.h>

#include "simd.h"

namespace {

constexpr int PAD = 16;
constexpr int WIDEST = 1024;  // of what has no width of its own at compile time
INLINE int padded(int n) { return (n + PAD - 1) / PAD * PAD; }

// A width that may be known when the code is compiled: WIDTH, or any (0).
template <int WIDTH>
struct Width {
  static constexpr int most = WIDTH ? WIDTH : WIDEST;
  static inline int of(int n) { return WIDTH ? WIDTH : n; }
};

// Memory that is given out in pieces and freed at once.
class Arena {
 public:
  explicit Arena(size_t floats) : memory_((float*)aligned_alloc(64, (floats * 4 + 127) / 64 * 64)) {}
  ~Arena() { free(memory_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  float* take(size_t floats) {  // whole vectors, and zero
    float* start = memory_ + used_;
    used_ += (floats + PAD - 1) / PAD * PAD;
    memset(start, 0, (floats + PAD - 1) / PAD * PAD * 4);
    return start;
  }

 private:
  float* memory_;
  size_t used_ = 0;
};

inline void transpose(const float* from, int rows, int columns, float* to) {
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++) to[(size_t)j * rows + i] = from[(size_t)i * columns + j];
}

// Sums of products are built up in tiles of registers: BLOCK rows by TILE floats.
template <int ROWS>
struct Tiles {
  static constexpr int tile = ROWS == 0 || ROWS % 32 ? PAD : (ROWS % 64 ? 32 : 64);
  static constexpr int vectors = tile / LANES;
  static constexpr int registers = LANES == 16 ? 16 : 8;  // that may hold sums: half of what the level has
  static constexpr int block = vectors >= registers ? 1 : (registers / vectors > 4 ? 4 : registers / vectors);
};

// N rows y [rows] += x [columns] m [columns, rows]: m's rows and x's numbers stand `m_stride`, `x_stride` apart.
template <int VECTORS, int N>
INLINE void tile_product(const float* m, size_t m_stride, const float* x, size_t x_next, size_t x_stride, int terms,
                         float* y, size_t y_stride) {
  vf acc[N][VECTORS];
  for (int i = 0; i < N; i++)
    for (int v = 0; v < VECTORS; v++) acc[i][v] = load(y + i * y_stride + v * LANES);
  for (int c = 0; c < terms; c++) {
    vf row[VECTORS];
    for (int v = 0; v < VECTORS; v++) row[v] = load(m + c * m_stride + v * LANES);
    for (int i = 0; i < N; i++)
      for (int v = 0; v < VECTORS; v++) acc[i][v] += x[i * x_stride + c * x_next] * row[v];
  }
  for (int i = 0; i < N; i++)
    for (int v = 0; v < VECTORS; v++) store(y + i * y_stride + v * LANES, acc[i][v]);
}

// y [outer, rows] += sum over terms c of x(outer, c) m[c, rows], x(i, c) = x[i x_stride + c x_next].
template <int ROWS>
inline void product(const float* m, const float* x, size_t x_next, size_t x_stride, int terms, int outer, int rows_,
                    float* y) {
  using T = Tiles<ROWS>;
  const int rows = Width<ROWS>::of(rows_);
  for (int r = 0; r < rows; r += T::tile) {
    int i = 0;
    for (; i + T::block <= outer; i += T::block)
      tile_product<T::vectors, T::block>(m + r, rows, x + i * x_stride, x_next, x_stride, terms, y + (size_t)i * rows + r, rows);
    for (; i < outer; i++)
      tile_product<T::vectors, 1>(m + r, rows, x + i * x_stride, x_next, x_stride, terms, y + (size_t)i * rows + r, rows);
  }
}

// y [N, rows] += x [N, columns] m [columns, rows]
template <int ROWS>
INLINE void matmul(const float* m, const float* x, int columns, int rows, int count, float* y) {
  product<ROWS>(m, x, 1, columns, columns, count, rows, y);
}

// m [columns, rows] += x [N, columns]^T y [N, rows], the gradient of matmul's matrix
template <int ROWS>
INLINE void add_outer(float* m, const float* x, int columns, const float* y, int rows, int count) {
  product<ROWS>(y, x, columns, 1, count, columns, rows, m);
}

// Every row of y [N, width] = row
template <int WIDTH>
INLINE void fill_rows(float* y, const float* row, int width_, int count) {
  const int width = Width<WIDTH>::of(width_);
  for (int i = 0; i < count; i++)
    for (int v = 0; v < width; v += LANES) store(y + (size_t)i * width + v, load(row + v));
}

// row += the sum of the rows of y [N, width]
template <int WIDTH>
INLINE void add_rows(float* row, const float* y, int width_, int count) {
  const int width = Width<WIDTH>::of(width_);
  for (int i = 0; i < count; i++)
    for (int v = 0; v < width; v += LANES) store(row + v, load(row + v) + load(y + (size_t)i * width + v));
}

// What the activation makes of n numbers, in place, and its derivative (or none).
INLINE void activate(bool softplus_, float* x, float* derivative, int n) {
  if (softplus_) {
    for (int i = 0; i < n; i += LANES) {
      vf v = load(x + i);
      store(x + i, softplus(v));
      if (derivative) store(derivative + i, sigmoid(v));
    }
    return;
  }
  for (int i = 0; i < n; i += LANES) {
    vf v = load(x + i), s = sigmoid(v);
    store(x + i, v * s);
    if (derivative) store(derivative + i, s * (1.0f + v * (1.0f - s)));
  }
}

}  // namespace
