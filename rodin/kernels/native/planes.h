// Tri-planes, channels last (rodin/triplane.py): look-up of points, its gradient, and resizing.
#pragma once
#include "network.h"

namespace {

// The twelve texels that a point reads, as offsets into the planes, and their weights.
struct Corners {
  int64_t offset[12];
  float weight[12];
};

INLINE void find_corners(const RodinPlanes& planes, const float* point, Corners& corners) {
  const int rows[3] = {0, 2, 1}, columns[3] = {1, 0, 2};  // the world axes of planes uv, wu, vw
  const int64_t stride = planes.stride, W = planes.width, H = planes.height;
  for (int p = 0; p < 3; p++) {
    // align_corners=False with border padding; a NaN ends at 0
    float x = (point[columns[p]] + 1) * (0.5f * W) - 0.5f, y = (point[rows[p]] + 1) * (0.5f * H) - 0.5f;
    x = x > 0 ? min(x, (float)(W - 1)) : 0;
    y = y > 0 ? min(y, (float)(H - 1)) : 0;
    int64_t i = (int64_t)x, j = (int64_t)y;
    float a = x - i, b = y - j;
    int64_t right = i + 1 < W ? stride : 0, below = j + 1 < H ? W * stride : 0;
    int64_t o = ((p * H + j) * W + i) * stride;
    int64_t* offset = corners.offset + 4 * p;
    float* weight = corners.weight + 4 * p;
    offset[0] = o, offset[1] = o + right, offset[2] = o + below, offset[3] = o + right + below;
    weight[0] = (1 - a) * (1 - b), weight[1] = a * (1 - b), weight[2] = (1 - a) * b, weight[3] = a * b;
  }
}

// The sum of the three look-ups, to f[0..stride).
template <int WIDTH>
INLINE void look_up(const RodinPlanes& planes, const Corners& corners, float* f) {
  const int n = Width<WIDTH>::of(planes.stride);
  for (int v = 0; v < n; v += LANES) {
    vf sums[3];  // of each plane, so that the additions need not wait for one another
    for (int p = 0; p < 3; p++) {
      sums[p] = corners.weight[4 * p] * load(planes.values + corners.offset[4 * p] + v);
      for (int k = 4 * p + 1; k < 4 * p + 4; k++) sums[p] += corners.weight[k] * load(planes.values + corners.offset[k] + v);
    }
    store(f + v, sums[0] + sums[1] + sums[2]);
  }
}

// The gradient of look_up: g[0..stride) to the texels of `gradient`, which lies like the planes.
template <int WIDTH>
INLINE void scatter(float* gradient, const Corners& corners, const float* g, int stride) {
  const int n = Width<WIDTH>::of(stride);
  for (int k = 0; k < 12; k++) {
    float* texel = gradient + corners.offset[k];
    for (int v = 0; v < n; v += LANES) store(texel + v, load(texel + v) + corners.weight[k] * load(g + v));
  }
}

// to += weight * from, n floats
INLINE void add_scaled(float* to, const float* from, float weight, int64_t n) {
  for (int64_t i = 0; i < n; i += LANES) store(to + i, load(to + i) + weight * load(from + i));
}

// Planes [3, H, W, stride] resampled to [3, h, w, stride], rows first; `between` holds [3, h, W, stride].
INLINE void resize(const float* from, int H, int W, int stride, const RodinResize& rows, const RodinResize& columns,
                   float* between, float* to) {
  const int h = rows.size, w = columns.size;
  memset(between, 0, (size_t)3 * h * W * stride * 4);
  memset(to, 0, (size_t)3 * h * w * stride * 4);
  for (int p = 0; p < 3; p++)
    for (int y = 0; y < h; y++) {
      float* line = between + ((size_t)p * h + y) * W * stride;
      for (int k = 0; k < rows.taps; k++) {
        float weight = rows.weights[y * rows.taps + k];
        if (weight != 0) add_scaled(line, from + ((size_t)p * H + rows.starts[y] + k) * W * stride, weight, (int64_t)W * stride);
      }
      for (int x = 0; x < w; x++)
        for (int k = 0; k < columns.taps; k++) {
          float weight = columns.weights[x * columns.taps + k];
          if (weight != 0)
            add_scaled(to + (((size_t)p * h + y) * w + x) * stride, line + (size_t)(columns.starts[x] + k) * stride, weight, stride);
        }
    }
}

// The gradient of resize, added to `to` [3, H, W, stride].
INLINE void resize_backward(const float* from, int H, int W, int stride, const RodinResize& rows,
                            const RodinResize& columns, float* between, float* to) {
  const int h = rows.size, w = columns.size;
  memset(between, 0, (size_t)3 * h * W * stride * 4);
  for (int p = 0; p < 3; p++)
    for (int y = 0; y < h; y++) {
      float* line = between + ((size_t)p * h + y) * W * stride;
      for (int x = 0; x < w; x++)
        for (int k = 0; k < columns.taps; k++) {
          float weight = columns.weights[x * columns.taps + k];
          if (weight != 0)
            add_scaled(line + (size_t)(columns.starts[x] + k) * stride, from + (((size_t)p * h + y) * w + x) * stride, weight, stride);
        }
      for (int k = 0; k < rows.taps; k++) {
        float weight = rows.weights[y * rows.taps + k];
        if (weight != 0) add_scaled(to + ((size_t)p * H + rows.starts[y] + k) * W * stride, line, weight, (int64_t)W * stride);
      }
    }
}

}  // namespace
