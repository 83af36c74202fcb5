// Vectors of floats as wide as the level's registers, by the compiler's own vector extension, and the few functions
// that the kernels need of them. No intrinsics: the same source serves AVX-512, AVX2, SSE2 and NEON.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE inline __attribute__((always_inline))  // vectors in registers must not pass through a call

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));

INLINE vf load(const float* p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
INLINE void store(float* p, vf v) { memcpy(p, &v, sizeof v); }
INLINE vf splat(float x) { return x - vf{}; }  // x - 0 is x, for -0 too
INLINE vf max(vf a, vf b) { return a > b ? a : b; }
INLINE vf min(vf a, vf b) { return a < b ? a : b; }
INLINE float max(float a, float b) { return a > b ? a : b; }
INLINE float min(float a, float b) { return a < b ? a : b; }
INLINE int max(int a, int b) { return a > b ? a : b; }
INLINE int min(int a, int b) { return a < b ? a : b; }
INLINE vf bits(vi v) {
  vf r;
  memcpy(&r, &v, sizeof r);
  return r;
}

// 0, 1, 2, ...
INLINE vi lanes() {
  vi v;
  for (int i = 0; i < LANES; i++) v[i] = i;
  return v;
}

// All numbers of a vector made one by `join`, half with half.
template <class Join>
INLINE float reduce(vf v, Join join) {
#if defined(__AVX512F__)
  typedef float v8 __attribute__((vector_size(32)));
  v8 a = join(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7), __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
#elif defined(__AVX__)
  vf a = v;
#endif
  typedef float v4 __attribute__((vector_size(16)));
#if defined(__AVX__)
  v4 b = join(__builtin_shufflevector(a, a, 0, 1, 2, 3), __builtin_shufflevector(a, a, 4, 5, 6, 7));
#else
  v4 b = v;
#endif
  v4 c = join(b, __builtin_shufflevector(b, b, 2, 3, 0, 1));
  return join(c[0], c[1]);
}
INLINE float sum(vf v) {
  return reduce(v, [](auto a, auto b) { return a + b; });
}
INLINE float highest(vf v) {
  return reduce(v, [](auto a, auto b) { return a > b ? a : b; });
}

// e^x to 2e-7 relative, for x in [-87, 88]: 2^n e^r, |r| <= ln 2 / 2, a polynomial of degree 6 for e^r. Gives e^r.
template <class F>
INLINE F exp_reduced(F x, F& n) {
  const F magic = F{} + 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  n = (x * 1.44269504f + magic) - magic;
  F r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  F p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * (r * r) + r + 1.0f;
}

INLINE vf exp(vf x) {
  vf n, p = exp_reduced(min(max(x, splat(-87.0f)), splat(88.0f)), n);
  return p * bits((__builtin_convertvector(n, vi) + 127) << 23);
}

INLINE float exp(float x) {
  float n, p = exp_reduced(min(max(x, -87.0f), 88.0f), n);
  int32_t k = ((int32_t)n + 127) << 23;
  float scale;
  memcpy(&scale, &k, 4);
  return p * scale;
}

template <class T>
INLINE T sigmoid(T x) {
  return 1.0f / (1.0f + exp(-x));
}

// ln(1 + y) for y in [0, 1]: 2 atanh(s) with s = y / (2 + y) <= 1/3.
template <class T>
INLINE T log1p01(T y) {
  T s = y / (y + 2.0f), q = s * s;
  T p = q * (2.0f / 13) + 2.0f / 11;
  p = p * q + 2.0f / 9;
  p = p * q + 2.0f / 7;
  p = p * q + 2.0f / 5;
  p = p * q + 2.0f / 3;
  p = p * q + 2.0f;
  return p * s;
}

INLINE float softplus(float x) { return max(x, 0.0f) + log1p01(exp(x > 0 ? -x : x)); }
INLINE vf softplus(vf x) { return max(x, vf{}) + log1p01(exp(min(x, -x))); }

// sine and cosine for |x| < 10^4: x minus a multiple of pi / 2, then polynomials on [-pi/4, pi/4].
INLINE void sincos(vf x, vf& s, vf& c) {
  const vf magic = splat(12582912.0f);
  vf n = (x * 0.636619772f + magic) - magic;
  vi q = __builtin_convertvector(n, vi);
  vf r = x - n * 1.5703125f;
  r = r - n * 4.837512969970703125e-4f;
  r = r - n * 7.549789948768648e-8f;
  vf z = r * r;
  vf sine = ((z * -1.9515295891e-4f + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
  vf cosine = ((z * 2.443315711809948e-5f - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - z * 0.5f + 1.0f;
  vi odd = (q & 1) != 0;
  s = odd ? cosine : sine;
  c = odd ? sine : cosine;
  s = (q & 2) != 0 ? -s : s;
  c = ((q + 1) & 2) != 0 ? -c : c;
}

}  // namespace
