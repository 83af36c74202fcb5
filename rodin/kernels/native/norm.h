// Group norm, an affine map of each channel and SiLU, in one (rodin/networks/group_norm.py), with their gradients. Maps are
// [height, width, channels] each, of 32 bits a number or bfloat16; gain, offset, sums and statistics are of 32 bits.
#pragma once
#include "lines.h"

namespace {

// Numbers for every channel of a map, padded to whole vectors, and for all its texels where `texels` is not 0.
struct NormWorkspace {
  int64_t stride;
  float *x, *gradient, *gain, *offset, *mean, *rstd, *row, *sum, *product, *texels;
  NormWorkspace(int channels, int64_t count) : stride((channels + LANES - 1) / LANES * LANES) {
    const int64_t size = (9 + count) * stride;
    x = (float*)malloc(sizeof(float) * size);
    for (int64_t i = 0; i < size; i++) x[i] = 0;
    float** const fields[] = {&gradient, &gain, &offset, &mean, &rstd, &row, &sum, &product, &texels};
    for (int i = 0; i < 9; i++) *fields[i] = x + (i + 1) * stride;
  }
  ~NormWorkspace() { free(x); }
  NormWorkspace(const NormWorkspace&) = delete;
};

template <class T>
INLINE void widen_texel(const T* __restrict from, float* __restrict to, int channels) {
  for (int c = 0; c < channels; c++) to[c] = widen(from[c]);
}

template <class T>
INLINE void narrow_texel(const float* __restrict from, T* __restrict to, int channels) {
  for (int c = 0; c < channels; c++) narrow(from[c], to + c);
}

// Mean over the texels of `term` of each channel, summed row by row: a long sum loses fewer of its low bits so.
template <class T, class Term>
INLINE void average(const T* x, const RodinMaps* maps, NormWorkspace& work, Term term) {
  const int channels = maps->channels;
  const float share = 1.0f / ((float)maps->height * maps->width);
  for (int64_t i = 0; i < work.stride; i++) work.sum[i] = 0;
  for (int h = 0; h < maps->height; h++) {
    for (int64_t i = 0; i < work.stride; i++) work.row[i] = 0;
    for (int w = 0; w < maps->width; w++) {
      widen_texel(x + ((int64_t)h * maps->width + w) * channels, work.x, channels);
      for (int64_t i = 0; i < work.stride; i += LANES) store(work.row + i, load(work.row + i) + term(i));
    }
    for (int64_t i = 0; i < work.stride; i++) work.sum[i] += work.row[i] * share;
  }
}

// The mean over the channels of each group, of numbers that are a channel's mean.
INLINE float group_mean(const float* values, int group, int size) {
  float sum = 0;
  for (int c = group * size; c < (group + 1) * size; c++) sum += values[c];
  return sum / size;
}

// y = f(gain * (x - mean) / sqrt(variance + eps) + offset), f = SiLU or nothing; leaves mean and 1 / sqrt(...) [groups].
template <class T>
void norm(const RodinMaps* maps, const RodinNorm* how, const T* x, const float* gain, const float* offset, T* y,
          float* mean, float* rstd, int64_t begin, int64_t end) {
  const int channels = maps->channels, groups = how->groups, size = channels / groups;
  const int64_t texels = (int64_t)maps->height * maps->width;
  NormWorkspace work(channels, 0);
  for (int64_t n = begin; n < end; n++) {
    const T* from = x + n * texels * channels;
    average(from, maps, work, [&](int64_t i) { return load(work.x + i); });
    for (int g = 0; g < groups; g++) {
      mean[n * groups + g] = group_mean(work.sum, g, size);
      for (int c = g * size; c < (g + 1) * size; c++) work.mean[c] = mean[n * groups + g];
    }
    average(from, maps, work, [&](int64_t i) {
      const vf off = load(work.x + i) - load(work.mean + i);
      return off * off;
    });
    for (int g = 0; g < groups; g++) {
      const float scale = rstd[n * groups + g] = 1.0f / sqrtf(group_mean(work.sum, g, size) + how->eps);
      for (int c = g * size; c < (g + 1) * size; c++) {
        work.gain[c] = gain[n * channels + c] * scale;
        work.offset[c] = offset[n * channels + c] - work.mean[c] * work.gain[c];
      }
    }
    for (int64_t texel = 0; texel < texels; texel++) {
      widen_texel(from + texel * channels, work.x, channels);
      for (int64_t i = 0; i < work.stride; i += LANES) {
        const vf t = load(work.x + i) * load(work.gain + i) + load(work.offset + i);
        store(work.x + i, how->silu ? t * sigmoid(t) : t);
      }
      narrow_texel(work.x, y + (n * texels + texel) * channels, channels);
    }
  }
}

// The gradients of x, of gain and of offset, by that of y and what `norm` left.
template <class T>
void norm_gradient(const RodinMaps* maps, const RodinNorm* how, const T* x, const T* grad_y, const float* gain,
                   const float* offset, const float* mean, const float* rstd, T* grad_x, float* grad_gain,
                   float* grad_offset, int64_t begin, int64_t end) {
  const int channels = maps->channels, groups = how->groups, size = channels / groups;
  const int64_t texels = (int64_t)maps->height * maps->width;
  NormWorkspace work(channels, texels);
  const int64_t stride = work.stride;
  for (int64_t n = begin; n < end; n++) {
    const T* from = x + n * texels * channels;
    for (int c = 0; c < channels; c++) {
      work.mean[c] = mean[n * groups + c / size];
      work.rstd[c] = rstd[n * groups + c / size];
      work.gain[c] = gain[n * channels + c];
      work.offset[c] = offset[n * channels + c];
    }
    for (int64_t i = 0; i < stride; i++) work.sum[i] = work.product[i] = 0;
    for (int64_t texel = 0; texel < texels; texel++) {
      widen_texel(from + texel * channels, work.x, channels);
      widen_texel(grad_y + (n * texels + texel) * channels, work.gradient, channels);
      for (int64_t i = 0; i < stride; i += LANES) {
        const vf normal = (load(work.x + i) - load(work.mean + i)) * load(work.rstd + i);
        vf gradient = load(work.gradient + i);
        if (how->silu) {
          const vf t = normal * load(work.gain + i) + load(work.offset + i), s = sigmoid(t);
          gradient *= s * (1.0f + t * (1.0f - s));
        }
        store(work.sum + i, load(work.sum + i) + gradient);
        store(work.product + i, load(work.product + i) + gradient * normal);
        store(work.texels + texel * stride + i, gradient);
      }
    }
    memcpy(grad_offset + n * channels, work.sum, sizeof(float) * channels);
    memcpy(grad_gain + n * channels, work.product, sizeof(float) * channels);
    // dx = rstd (gain dy - mean(gain dy) - normal mean(gain dy normal)), the means over a group: as a map of dy and x
    for (int g = 0; g < groups; g++) {
      float plain = 0, along = 0;
      for (int c = g * size; c < (g + 1) * size; c++) plain += work.gain[c] * work.sum[c];
      for (int c = g * size; c < (g + 1) * size; c++) along += work.gain[c] * work.product[c];
      const float share = 1.0f / ((float)texels * size);
      for (int c = g * size; c < (g + 1) * size; c++) {
        work.sum[c] = plain * share;
        work.product[c] = along * share;
      }
    }
    for (int64_t texel = 0; texel < texels; texel++) {
      widen_texel(from + texel * channels, work.x, channels);
      for (int64_t i = 0; i < stride; i += LANES) {
        const vf scale = load(work.rstd + i), normal = (load(work.x + i) - load(work.mean + i)) * scale;
        const vf gradient = load(work.texels + texel * stride + i) * load(work.gain + i);
        store(work.x + i, (gradient - load(work.sum + i) - normal * load(work.product + i)) * scale);
      }
      narrow_texel(work.x, grad_x + (n * texels + texel) * channels, channels);
    }
  }
}

// The same for maps whose type is known when they come.
void norm(const RodinMaps* maps, const RodinNorm* how, const void* x, const float* gain, const float* offset, void* y,
          float* mean, float* rstd, int64_t begin, int64_t end) {
  if (maps->bfloat16)
    norm(maps, how, (const uint16_t*)x, gain, offset, (uint16_t*)y, mean, rstd, begin, end);
  else
    norm(maps, how, (const float*)x, gain, offset, (float*)y, mean, rstd, begin, end);
}

void norm_gradient(const RodinMaps* maps, const RodinNorm* how, const void* x, const void* grad_y, const float* gain,
                   const float* offset, const float* mean, const float* rstd, void* grad_x, float* grad_gain,
                   float* grad_offset, int64_t begin, int64_t end) {
  if (maps->bfloat16)
    norm_gradient(maps, how, (const uint16_t*)x, (const uint16_t*)grad_y, gain, offset, mean, rstd, (uint16_t*)grad_x,
                  grad_gain, grad_offset, begin, end);
  else
    norm_gradient(maps, how, (const float*)x, (const float*)grad_y, gain, offset, mean, rstd, (float*)grad_x,
                  grad_gain, grad_offset, begin, end);
}

}  // namespace
