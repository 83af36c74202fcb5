// The library's C interface: which level runs, and threads over rays, points or planes. Levels are numbered as in loader.py.
#include <thread>
#include <vector>

#include "api.h"

RodinLevel rodin_level_baseline(const RodinDecoder*);
#ifdef RODIN_X86_64
RodinLevel rodin_level_avx2(const RodinDecoder*);
RodinLevel rodin_level_avx512(const RodinDecoder*);
#endif

namespace {

RodinLevel at(int level, const RodinDecoder* decoder) {
#ifdef RODIN_X86_64
  if (level == 2) return rodin_level_avx512(decoder);
  if (level == 1) return rodin_level_avx2(decoder);
#endif
  (void)level;
  return rodin_level_baseline(decoder);
}

// work(begin, end) over pieces of [0, count): interleaved blocks, since neighbouring rays cost alike.
template <class Work>
void spread(int64_t count, int threads, Work work, int64_t block = 256) {
  if (threads <= 1 || count <= block) {
    work((int64_t)0, count);
    return;
  }
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; t++)
    pool.emplace_back([=] {
      for (int64_t begin = t * block; begin < count; begin += threads * block)
        work(begin, begin + block < count ? begin + block : count);
    });
  for (auto& thread : pool) thread.join();
}

// Maps that are worth a thread's start: some ten microseconds of work.
int64_t block_of(const RodinMaps* maps) {
  return 1 + (1 << 17) / ((int64_t)maps->height * maps->width * maps->channels);
}

}  // namespace

#define RODIN_EXPORT extern "C" __attribute__((visibility("default")))

// What loader.py compares with its own number, so that a library older or newer than the Python code is refused.
RODIN_EXPORT int rodin_abi() { return RODIN_ABI; }

// Whether this library holds a level and this CPU can run it.
RODIN_EXPORT int rodin_level_supported(int level) {
#ifdef RODIN_X86_64
  __builtin_cpu_init();
  if (level == 1) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  }
  if (level == 2) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
  }
#endif
  return level == 0;
}

RODIN_EXPORT void rodin_decode(int level, const RodinDecoder* decoder, const RodinPlanes* planes, const float* points,
                               const float* directions, int64_t count, int threads, float* density, float* emitted) {
  RodinLevel run = at(level, decoder);
  spread(count, threads, [=](int64_t begin, int64_t end) {
    run.decode(decoder, planes, points, directions, begin, end, density, emitted);
  });
}

RODIN_EXPORT void rodin_render(int level, const RodinDecoder* decoder, const RodinPlanes* planes,
                               const RodinPlanes* features, const RodinRays* rays, float opaque, float thin,
                               int threads, float* totals, float* weights) {
  RodinLevel run = at(level, decoder);
  spread(rays->count, threads, [=](int64_t begin, int64_t end) {
    run.render(decoder, planes, features, rays, opaque, thin, begin, end, totals, weights);
  });
}

RODIN_EXPORT void rodin_backward(int level, const RodinDecoder* decoder, const RodinPlanes* planes,
                                 const RodinRays* rays, const float* grad_totals, float* grad_planes) {
  at(level, decoder).backward(decoder, planes, rays, grad_totals, 0, rays->count, grad_planes);
}

RODIN_EXPORT void rodin_bins(int level, const RodinRays* rays, int threads, uint8_t* out) {
  RodinLevel run = at(level, nullptr);
  spread(rays->count, threads, [=](int64_t begin, int64_t end) { run.bins(rays, begin, end, out); });
}

RODIN_EXPORT double rodin_fit(int level, const RodinDecoder* decoder, const RodinRays* rays, const RodinFit* step) {
  return at(level, decoder).fit(decoder, rays, step);
}

RODIN_EXPORT void rodin_add_lines(int level, const RodinMaps* maps, int threads, void* y, const void* rows,
                                  const void* columns) {
  RodinLevel run = at(level, nullptr);
  spread(maps->count, threads,
         [=](int64_t begin, int64_t end) { run.add_lines(maps, y, rows, columns, begin, end); },
         block_of(maps));
}

RODIN_EXPORT void rodin_sum_lines(int level, const RodinMaps* maps, int threads, const void* x, void* rows,
                                  void* columns, float scale_rows, float scale_columns) {
  RodinLevel run = at(level, nullptr);
  spread(maps->count, threads, [=](int64_t begin, int64_t end) {
    run.sum_lines(maps, x, rows, columns, scale_rows, scale_columns, begin, end);
  }, block_of(maps));
}

RODIN_EXPORT void rodin_pad_edges(int level, const RodinMaps* maps, int threads, const void* x, void* padded) {
  RodinLevel run = at(level, nullptr);
  spread(maps->count, threads, [=](int64_t begin, int64_t end) { run.pad_edges(maps, x, padded, begin, end); },
         block_of(maps));
}

RODIN_EXPORT void rodin_unpad_edges(int level, const RodinMaps* maps, int threads, const void* padded, const void* rows,
                                    const void* columns, void* x) {
  RodinLevel run = at(level, nullptr);
  spread(maps->count, threads,
         [=](int64_t begin, int64_t end) { run.unpad_edges(maps, padded, rows, columns, x, begin, end); },
         block_of(maps));
}

RODIN_EXPORT void rodin_norm(int level, const RodinMaps* maps, const RodinNorm* how, int threads, const void* x,
                             const float* gain, const float* offset, void* y, float* mean, float* rstd) {
  RodinLevel run = at(level, nullptr);
  spread(maps->count, threads,
         [=](int64_t begin, int64_t end) { run.norm(maps, how, x, gain, offset, y, mean, rstd, begin, end); },
         block_of(maps));
}

RODIN_EXPORT void rodin_norm_gradient(int level, const RodinMaps* maps, const RodinNorm* how, int threads,
                                      const void* x, const void* grad_y, const float* gain, const float* offset,
                                      const float* mean, const float* rstd, void* grad_x, float* grad_gain,
                                      float* grad_offset) {
  RodinLevel run = at(level, nullptr);
  spread(maps->count, threads, [=](int64_t begin, int64_t end) {
    run.norm_gradient(maps, how, x, grad_y, gain, offset, mean, rstd, grad_x, grad_gain, grad_offset, begin, end);
  }, block_of(maps));
}

// Chessboard distance, at most 255, of every cell of a grid [cells]^3 to the nearest marked one, by a forward and a
// backward sweep over the 13 neighbours that each has passed.
RODIN_EXPORT void rodin_distance(const uint8_t* grid, int cells, uint8_t* distance) {
  const int64_t n = cells;
  for (int64_t i = 0; i < n * n * n; i++) distance[i] = grid[i] ? 0 : 255;
  for (int sweep = 0; sweep < 2; sweep++) {
    const int64_t sign = sweep ? -1 : 1;
    for (int64_t i = 0; i < n * n * n; i++) {
      const int64_t here = sweep ? n * n * n - 1 - i : i;
      const int64_t x = here / (n * n), y = here / n % n, z = here % n;
      int best = distance[here];
      if (!best) continue;
      for (int k = 0; k < 13; k++) {
        const int64_t a = x + sign * (k / 9 - 1), b = y + sign * (k / 3 % 3 - 1), c = z + sign * (k % 3 - 1);
        if (a < 0 || b < 0 || c < 0 || a >= n || b >= n || c >= n) continue;
        const int other = distance[(a * n + b) * n + c] + 1;
        if (other < best) best = other;
      }
      distance[here] = (uint8_t)best;
    }
  }
}
