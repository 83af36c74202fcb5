// The parts of the 3D-aware convolution that are no convolution (rodin/aware_conv.py): edges, means along the rows and
// columns of planes, and lines added to planes, with their gradients. One pass over a plane each; numbers of 32 bits or
// bfloat16, sums always in 32 bits. Planes are [height, width] each, `begin` to `end` of them one behind the other.
#pragma once
#include <stdlib.h>

#include "api.h"
#include "simd.h"

namespace {

typedef uint32_t __attribute__((may_alias)) word;

INLINE void widen(const float* x, float* y, int64_t count) { memcpy(y, x, count * sizeof *x); }
INLINE void narrow(const float* x, float* y, int64_t count) { memcpy(y, x, count * sizeof *x); }

INLINE void widen(const uint16_t* __restrict x, float* __restrict y, int64_t count) {
  word* __restrict bits = (word*)y;
  for (int64_t i = 0; i < count; i++) bits[i] = (uint32_t)x[i] << 16;
}

// To the nearest, ties to even, as PyTorch rounds; what is no number stays none.
INLINE void narrow(const float* __restrict x, uint16_t* __restrict y, int64_t count) {
  const word* __restrict bits = (const word*)x;
  for (int64_t i = 0; i < count; i++) {
    const uint32_t u = bits[i];
    const uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    y[i] = (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
  }
}

INLINE float total(const float* x, int count) {
  float part[8] = {0}, rest = 0;
  int i = 0;
  for (; i + 8 <= count; i += 8)
    for (int k = 0; k < 8; k++) part[k] += x[i + k];
  for (; i < count; i++) rest += x[i];
  return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7])) + rest;
}

// What the functions work in: a plane with room for its edges, and a line of each kind.
struct Workspace {
  float *plane, *row_line, *column_line;
  Workspace(int height, int width) {
    plane = (float*)malloc(sizeof(float) * ((int64_t)(height + 2) * (width + 2) + height + width));
    row_line = plane + (int64_t)(height + 2) * (width + 2);
    column_line = row_line + height;
  }
  ~Workspace() { free(plane); }
};

// Sums over each row [height] and each column [width].
INLINE void sum_plane(const float* __restrict plane, int height, int width, float* __restrict rows,
                      float* __restrict columns) {
  for (int w = 0; w < width; w++) columns[w] = 0;
  for (int h = 0; h < height; h++) {
    const float* __restrict row = plane + (int64_t)h * width;
    rows[h] = total(row, width);
    for (int w = 0; w < width; w++) columns[w] += row[w];
  }
}

// y[h, w] += rows[h] + columns[w]
template <class T>
void add_lines(T* y, const T* rows, const T* columns, int64_t begin, int64_t end, int height, int width) {
  const int64_t texels = (int64_t)height * width;
  Workspace work(height, width);
  float* __restrict plane = work.plane;
  float* __restrict line = work.column_line;
  for (int64_t p = begin; p < end; p++) {
    widen(y + p * texels, plane, texels);
    widen(rows + p * height, work.row_line, height);
    widen(columns + p * width, line, width);
    for (int h = 0; h < height; h++) {
      const float shift = work.row_line[h];
      for (int w = 0; w < width; w++) plane[(int64_t)h * width + w] += shift + line[w];
    }
    narrow(plane, y + p * texels, texels);
  }
}

// rows[h] = scale_rows times the sum of x[h, :], columns[w] = scale_columns times that of x[:, w]
template <class T>
void sum_lines(const T* x, T* rows, T* columns, float scale_rows, float scale_columns, int64_t begin, int64_t end,
               int height, int width) {
  const int64_t texels = (int64_t)height * width;
  Workspace work(height, width);
  for (int64_t p = begin; p < end; p++) {
    widen(x + p * texels, work.plane, texels);
    sum_plane(work.plane, height, width, work.row_line, work.column_line);
    for (int h = 0; h < height; h++) work.row_line[h] *= scale_rows;
    for (int w = 0; w < width; w++) work.column_line[w] *= scale_columns;
    narrow(work.row_line, rows + p * height, height);
    narrow(work.column_line, columns + p * width, width);
  }
}

// padded [height + 2, width + 2]: x with its edges repeated.
template <class T>
void pad_edges(const T* x, T* padded, int64_t begin, int64_t end, int height, int width) {
  const int64_t wide = width + 2;
  for (int64_t p = begin; p < end; p++) {
    const T* from = x + p * height * width;
    T* to = padded + p * (height + 2) * wide;
    for (int h = 0; h < height; h++) {
      T* row = to + (h + 1) * wide;
      memcpy(row + 1, from + (int64_t)h * width, sizeof(T) * width);
      row[0] = row[1];
      row[width + 1] = row[width];
    }
    memcpy(to, to + wide, sizeof(T) * wide);
    memcpy(to + (height + 1) * wide, to + height * wide, sizeof(T) * wide);
  }
}

// The gradient of x that its padded form and its means along rows [height] and columns [width] ask for.
template <class T>
void unpad_edges(const T* padded, const T* rows, const T* columns, T* x, int64_t begin, int64_t end, int height,
                 int width) {
  const int64_t wide = width + 2, tall = height + 2;
  Workspace work(height, width);
  float *plane = work.plane, *line = work.column_line;
  for (int64_t p = begin; p < end; p++) {
    widen(padded + p * tall * wide, plane, tall * wide);
    widen(rows + p * height, work.row_line, height);
    widen(columns + p * width, line, width);
    for (int w = 0; w < width; w++) line[w] /= height;
    float *second = plane + wide, *last = plane + height * wide;
    for (int w = 0; w < wide; w++) second[w] += plane[w];
    for (int w = 0; w < wide; w++) last[w] += last[wide + w];
    for (int h = 0; h < height; h++) {
      const float *from = plane + (h + 1) * wide, shift = work.row_line[h] / width;
      const float first = from[0], end_of_row = from[width + 1];
      float* to = plane + (int64_t)h * width;  // never ahead of what is read
      for (int w = 0; w < width; w++) to[w] = from[w + 1] + (shift + line[w]);
      to[0] += first;
      to[width - 1] += end_of_row;
    }
    narrow(plane, x + p * height * width, (int64_t)height * width);
  }
}

// The same for planes whose type is known when they come.
void add_lines(const RodinMaps* maps, void* y, const void* rows, const void* columns, int64_t begin, int64_t end) {
  const int h = maps->height, w = maps->width;
  if (maps->bfloat16)
    add_lines((uint16_t*)y, (const uint16_t*)rows, (const uint16_t*)columns, begin, end, h, w);
  else
    add_lines((float*)y, (const float*)rows, (const float*)columns, begin, end, h, w);
}

void sum_lines(const RodinMaps* maps, const void* x, void* rows, void* columns, float scale_rows, float scale_columns,
               int64_t begin, int64_t end) {
  const int h = maps->height, w = maps->width;
  if (maps->bfloat16)
    sum_lines((const uint16_t*)x, (uint16_t*)rows, (uint16_t*)columns, scale_rows, scale_columns, begin, end, h, w);
  else
    sum_lines((const float*)x, (float*)rows, (float*)columns, scale_rows, scale_columns, begin, end, h, w);
}

void pad_edges(const RodinMaps* maps, const void* x, void* padded, int64_t begin, int64_t end) {
  if (maps->bfloat16)
    pad_edges((const uint16_t*)x, (uint16_t*)padded, begin, end, maps->height, maps->width);
  else
    pad_edges((const float*)x, (float*)padded, begin, end, maps->height, maps->width);
}

void unpad_edges(const RodinMaps* maps, const void* padded, const void* rows, const void* columns, void* x,
                 int64_t begin, int64_t end) {
  const int h = maps->height, w = maps->width;
  if (maps->bfloat16)
    unpad_edges((const uint16_t*)padded, (const uint16_t*)rows, (const uint16_t*)columns, (uint16_t*)x, begin, end, h, w);
  else
    unpad_edges((const float*)padded, (const float*)rows, (const float*)columns, (float*)x, begin, end, h, w);
}

}  // namespace
