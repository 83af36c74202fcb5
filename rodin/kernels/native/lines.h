// The parts of the 3D-aware convolution that are no convolution (rodin/networks/aware_conv.py): edges, means along the rows and
// columns of planes, and lines added to planes, with their gradients. One pass over a plane each; numbers of 32 bits or
// bfloat16, sums always in 32 bits. Maps are [height, width, channels] each, `begin` to `end` of them one behind the
// other; with channels innermost every loop but the last runs over texels.
#pragma once
#include <stdlib.h>

#include "api.h"
#include "simd.h"

namespace {

INLINE float widen(float x) { return x; }
INLINE float widen(uint16_t x) {
  const uint32_t bits = (uint32_t)x << 16;
  float y;
  memcpy(&y, &bits, sizeof y);
  return y;
}

INLINE void narrow(float x, float* y) { *y = x; }

// To the nearest, ties to even, as PyTorch rounds; what is no number stays none.
INLINE void narrow(float x, uint16_t* y) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  const uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  *y = (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}

// Room for sums over the columns of one map, and for one texel's channels or one row's.
struct Workspace {
  float *columns, *texel;
  Workspace(int width, int channels) {
    columns = (float*)malloc(sizeof(float) * ((int64_t)(width + 1) * channels));
    texel = columns + (int64_t)width * channels;
  }
  ~Workspace() { free(columns); }
};

// y[h, w] += rows[h] + columns[w]
template <class T>
void add_lines(T* y, const T* rows, const T* columns, int64_t begin, int64_t end, int height, int width,
               int channels) {
  for (int64_t n = begin; n < end; n++)
    for (int h = 0; h < height; h++)
      for (int w = 0; w < width; w++) {
        T* __restrict texel = y + ((n * height + h) * width + w) * channels;
        const T* __restrict row = rows + (n * height + h) * channels;
        const T* __restrict column = columns + (n * width + w) * channels;
        for (int c = 0; c < channels; c++) narrow(widen(texel[c]) + (widen(row[c]) + widen(column[c])), texel + c);
      }
}

// rows[h] = scale_rows times the sum of x[h, :], columns[w] = scale_columns times that of x[:, w]
template <class T>
void sum_lines(const T* x, T* rows, T* columns, float scale_rows, float scale_columns, int64_t begin, int64_t end,
               int height, int width, int channels) {
  Workspace work(width, channels);
  float* __restrict along = work.texel;
  for (int64_t n = begin; n < end; n++) {
    for (int64_t i = 0; i < (int64_t)width * channels; i++) work.columns[i] = 0;
    for (int h = 0; h < height; h++) {
      for (int c = 0; c < channels; c++) along[c] = 0;
      for (int w = 0; w < width; w++) {
        const T* __restrict texel = x + ((n * height + h) * width + w) * channels;
        float* __restrict down = work.columns + (int64_t)w * channels;
        for (int c = 0; c < channels; c++) {
          const float value = widen(texel[c]);
          along[c] += value;
          down[c] += value;
        }
      }
      T* __restrict row = rows + (n * height + h) * channels;
      for (int c = 0; c < channels; c++) narrow(along[c] * scale_rows, row + c);
    }
    T* __restrict column = columns + n * width * channels;
    for (int64_t i = 0; i < (int64_t)width * channels; i++) narrow(work.columns[i] * scale_columns, column + i);
  }
}

// padded [height + 2, width + 2]: x with its edges repeated.
template <class T>
void pad_edges(const T* x, T* padded, int64_t begin, int64_t end, int height, int width, int channels) {
  const int64_t texel = channels, row = texel * width, wide = texel * (width + 2);
  for (int64_t n = begin; n < end; n++) {
    T* to = padded + n * (height + 2) * wide;
    for (int h = 0; h < height; h++) {
      T* line = to + (h + 1) * wide;
      memcpy(line + texel, x + (n * height + h) * row, sizeof(T) * row);
      memcpy(line, line + texel, sizeof(T) * texel);
      memcpy(line + texel + row, line + row, sizeof(T) * texel);
    }
    memcpy(to, to + wide, sizeof(T) * wide);
    memcpy(to + (height + 1) * wide, to + height * wide, sizeof(T) * wide);
  }
}

// The gradient of x that its padded form and its means along rows [height] and columns [width] ask for.
template <class T>
void unpad_edges(const T* padded, const T* rows, const T* columns, T* x, int64_t begin, int64_t end, int height,
                 int width, int channels) {
  const int wide = width + 2, tall = height + 2;
  Workspace work(width, channels);
  float* __restrict sum = work.texel;
  for (int64_t n = begin; n < end; n++)
    for (int h = 0; h < height; h++)
      for (int w = 0; w < width; w++) {
        const T* __restrict row = rows + (n * height + h) * channels;
        const T* __restrict column = columns + (n * width + w) * channels;
        for (int c = 0; c < channels; c++) sum[c] = widen(row[c]) / width + widen(column[c]) / height;
        // The copies of this texel: one inside, more at the edges.
        const int top = h ? h + 1 : 0, bottom = h < height - 1 ? h + 1 : tall - 1;
        const int left = w ? w + 1 : 0, right = w < width - 1 ? w + 1 : wide - 1;
        for (int i = top; i <= bottom; i++)
          for (int j = left; j <= right; j++) {
            const T* __restrict from = padded + ((n * tall + i) * wide + j) * channels;
            for (int c = 0; c < channels; c++) sum[c] += widen(from[c]);
          }
        T* __restrict to = x + ((n * height + h) * width + w) * channels;
        for (int c = 0; c < channels; c++) narrow(sum[c], to + c);
      }
}

// The same for maps whose type is known when they come.
void add_lines(const RodinMaps* maps, void* y, const void* rows, const void* columns, int64_t begin, int64_t end) {
  const int h = maps->height, w = maps->width, c = maps->channels;
  if (maps->bfloat16)
    add_lines((uint16_t*)y, (const uint16_t*)rows, (const uint16_t*)columns, begin, end, h, w, c);
  else
    add_lines((float*)y, (const float*)rows, (const float*)columns, begin, end, h, w, c);
}

void sum_lines(const RodinMaps* maps, const void* x, void* rows, void* columns, float scale_rows, float scale_columns,
               int64_t begin, int64_t end) {
  const int h = maps->height, w = maps->width, c = maps->channels;
  if (maps->bfloat16)
    sum_lines((const uint16_t*)x, (uint16_t*)rows, (uint16_t*)columns, scale_rows, scale_columns, begin, end, h, w, c);
  else
    sum_lines((const float*)x, (float*)rows, (float*)columns, scale_rows, scale_columns, begin, end, h, w, c);
}

void pad_edges(const RodinMaps* maps, const void* x, void* padded, int64_t begin, int64_t end) {
  if (maps->bfloat16)
    pad_edges((const uint16_t*)x, (uint16_t*)padded, begin, end, maps->height, maps->width, maps->channels);
  else
    pad_edges((const float*)x, (float*)padded, begin, end, maps->height, maps->width, maps->channels);
}

void unpad_edges(const RodinMaps* maps, const void* padded, const void* rows, const void* columns, void* x,
                 int64_t begin, int64_t end) {
  const int h = maps->height, w = maps->width, c = maps->channels;
  if (maps->bfloat16)
    unpad_edges((const uint16_t*)padded, (const uint16_t*)rows, (const uint16_t*)columns, (uint16_t*)x, begin, end, h, w, c);
  else
    unpad_edges((const float*)padded, (const float*)rows, (const float*)columns, (float*)x, begin, end, h, w, c);
}

}  // namespace
