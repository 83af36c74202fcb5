// Rendering without gradients, the bins that count, and density and colour of points.
#pragma once
#include "planes.h"

namespace {

// The cell of an occupancy grid that a point lies in.
INLINE int64_t cell_of(const float* point, int cells) {
  int index = 0;
  for (int axis = 0; axis < 3; axis++) {
    float x = (point[axis] + 1) * (0.5f * cells);
    index = index * cells + (int)min(max(x, 0.0f), cells - 1.0f);
  }
  return index;
}

// The bins of one ray that count, from the front: `next` steps to the following one.
class Bins {
 public:
  Bins() = default;
  Bins(const RodinRays& rays, int64_t ray) : rays_(&rays), marks_(rays.bins ? rays.bins + ray * rays.samples : nullptr) {
    near_ = rays.near[ray];
    step = (rays.far[ray] - near_) / rays.samples;
    offset_ = rays.jitter ? rays.jitter[ray] : 0.5f;
    for (int axis = 0; axis < 3; axis++) {
      origin_[axis] = rays.origins[3 * ray + axis];
      direction[axis] = rays.directions[3 * ray + axis];
    }
    float fastest = max(max(fabsf(direction[0]), fabsf(direction[1])), fabsf(direction[2]));
    bins_a_cell_ = 1 / max(fastest * step * (0.5f * rays.cells), 1e-6f);
    if (!(step > 0)) index = rays.samples;  // misses the box
  }
  // Whether there is another bin; its index, distance and point stand in the members.
  INLINE bool next() {
    while (++index < rays_->samples) {
      if (marks_) {
        if (!marks_[index]) continue;
      } else if (rays_->distance) {
        place(0.5f);
        // q > 0: the nearest cell that counts is q cells away. Bins that end within q - 1 cells cannot reach it.
        int q = rays_->distance[cell_of(point, rays_->cells)] - rays_->grow;
        if (q > 0) {
          if (q > 1) index += max((int)((q - 1) * bins_a_cell_), 1) - 1;
          continue;
        }
        if (offset_ == 0.5f) return true;
      }
      place(offset_);
      return true;
    }
    return false;
  }
  void stop() { index = rays_->samples; }

  int index = -1;
  float step = 0, distance = 0, point[3] = {0, 0, 0}, direction[3] = {0, 0, 0};

 private:
  INLINE void place(float offset) {
    distance = near_ + (index + offset) * step;
    for (int axis = 0; axis < 3; axis++) point[axis] = origin_[axis] + distance * direction[axis];
  }
  const RodinRays* rays_ = nullptr;
  const uint8_t* marks_ = nullptr;
  float near_ = 0, offset_ = 0.5f, origin_[3] = {0, 0, 0}, bins_a_cell_ = 0;
};

// The features of a point, or of folded planes the hidden layer before its bias, to row i of the batch.
template <int CP, int HP>
INLINE void look_up_point(const Network& net, const RodinPlanes& planes, const float* point, Corners& corners, Batch& b,
                          int i) {
  find_corners(planes, point, corners);
  if (planes.folded) {
    look_up<HP>(planes, corners, b.hidden + (size_t)i * Width<HP>::of(net.s.Hp));
    return;
  }
  float* e = b.e + (size_t)i * net.s.Ep;
  look_up<CP>(planes, corners, e);
  if (net.s.F) embed(net.s, e, e);
}

// n raw densities to densities, in 1 / world units
INLINE void densities(const Network& net, float* raw, int n) {
  for (int i = 0; i < n; i += LANES) store(raw + i, net.scale * softplus(load(raw + i)));
}

constexpr int BATCH = 16;  // samples that are decoded together

template <int CP, int HP>
void decode(const RodinDecoder* decoder, const RodinPlanes* planes, const float* points, const float* directions,
            int64_t begin, int64_t end, float* density, float* emitted) {
  Network net(*decoder);
  const Shape& s = net.s;
  Arena arena(Batch::floats(s, BATCH) + BATCH * s.T);
  Batch b(s, BATCH, arena);
  float* terms = arena.take(BATCH * s.T);
  Corners corners;
  for (int64_t first = begin; first < end; first += BATCH) {
    const int n = (int)(end - first < BATCH ? end - first : BATCH);
    for (int i = 0; i < n; i++) look_up_point<CP, HP>(net, *planes, points + 3 * (first + i), corners, b, i);
    trunk<HP>(net, b, n, planes->folded, false);
    if (density) {
      densities(net, b.raw, n);
      memcpy(density + first, b.raw, n * 4);
    }
    if (!emitted) continue;
    for (int i = 0; i < n; i++) {
      direction_term<HP>(net, directions + 3 * (first + i), terms + i * s.T);
      enter_head<HP>(net, b.hidden + (size_t)i * s.Hp, terms + i * s.T, b, i);
    }
    colour_head<HP>(net, b, n, false, [&](int i) { return terms + i * s.T; });
    for (int i = 0; i < n; i++) unpack(s, b.emitted + (size_t)i * s.Kp, 1, emitted + (first + i) * s.K);
  }
}

// Totals [rays, K + 2 (+ C)] and weights [rays, samples], each where it is given. A ray is left where less than `opaque`
// of its light passes. Samples that weigh less in all than `thin` of what the ray has met are not decoded: the next one
// lends them what it emits, to the last ones the ray's mean.
//
// BATCH rays are followed at a time, one sample of each; where one ends the next begins.
template <int CP, int HP>
void render(const RodinDecoder* decoder, const RodinPlanes* planes, const RodinPlanes* features, const RodinRays* rays,
            float opaque, float thin, int64_t begin, int64_t end, float* totals, float* weights) {
  struct Slot {
    Bins bin;
    int64_t ray;
    float through, depth, waiting;
    bool fresh;
  };
  Network net(*decoder);
  const Shape& s = net.s;
  const int hidden = Width<HP>::of(s.Hp), width = s.K + 2 + (features ? s.C : 0);
  Arena arena(Batch::floats(s, BATCH) + BATCH * (s.T + s.Kp) + s.Cp + 4 * BATCH + 64);
  Batch b(s, BATCH, arena);
  float *terms = arena.take(BATCH * s.T), *seen = arena.take(BATCH * s.Kp), *feature = arena.take(s.Cp);
  float *passed = arena.take(BATCH), *share = arena.take(BATCH);
  Slot slots[BATCH];
  Corners corners;
  int64_t coming = begin;
  int open = 0;  // slots in use are 0..open

  auto start = [&](int i) {
    Slot& slot = slots[i];
    slot.bin = Bins(*rays, coming);
    slot.ray = coming++;
    slot.through = 1, slot.depth = 0, slot.waiting = 0, slot.fresh = true;
    memset(seen + i * s.Kp, 0, s.Kp * 4);
    if (totals) memset(totals + slot.ray * width, 0, width * 4);
  };
  auto finish = [&](int i) {
    const Slot& slot = slots[i];
    if (!totals) return;
    float* total = totals + slot.ray * width;
    const float alpha = 1 - slot.through, grow = alpha > slot.waiting ? alpha / (alpha - slot.waiting) : 0;
    unpack(s, seen + i * s.Kp, grow, total);
    total[s.K] = alpha;
    total[s.K + 1] = slot.depth;
    for (int c = s.K + 2; c < width; c++) total[c] *= grow;
  };

  while (open < BATCH && coming < end) start(open++);
  while (open) {
    for (int i = 0; i < open;) {
      if (slots[i].bin.next()) {
        look_up_point<CP, HP>(net, *planes, slots[i].bin.point, corners, b, i);
        i++;
        continue;
      }
      finish(i);
      if (coming < end) {
        start(i);
        continue;
      }
      open--;  // no more rays: the last slot's moves here
      if (i < open) {
        slots[i] = slots[open];
        memcpy(terms + i * s.T, terms + open * s.T, s.T * 4);
        memcpy(seen + i * s.Kp, seen + open * s.Kp, s.Kp * 4);
      }
    }
    if (!open) break;
    trunk<HP>(net, b, open, planes->folded, false);
    densities(net, b.raw, open);
    for (int i = 0; i < open; i++) passed[i] = -b.raw[i] * slots[i].bin.step;
    for (int i = 0; i < open; i += LANES) store(passed + i, exp(load(passed + i)));
    int decoded = 0, of[BATCH];
    for (int i = 0; i < open; i++) {
      Slot& slot = slots[i];
      float w = slot.through * (1 - passed[i]);
      if (weights) weights[slot.ray * rays->samples + slot.bin.index] = w;
      slot.through *= passed[i];
      slot.depth += w * slot.bin.distance;
      slot.waiting += w;
      if (slot.waiting > thin * (1.01f - slot.through) && totals) {
        float* term = terms + i * s.T;
        if (slot.fresh) direction_term<HP>(net, slot.bin.direction, term);
        slot.fresh = false;
        enter_head<HP>(net, b.hidden + (size_t)i * hidden, term, b, decoded);
        share[decoded] = slot.waiting;
        of[decoded++] = i;
        slot.waiting = 0;
      }
      if (slot.through < opaque) slot.bin.stop();
    }
    colour_head<HP>(net, b, decoded, false, [&](int j) { return terms + of[j] * s.T; });
    for (int j = 0; j < decoded; j++) {
      add_scaled(seen + of[j] * s.Kp, b.emitted + (size_t)j * s.Kp, share[j], s.Kp);
      if (!features) continue;
      const Slot& slot = slots[of[j]];
      find_corners(*features, slot.bin.point, corners);
      look_up<CP>(*features, corners, feature);
      float* total = totals + slot.ray * width + s.K + 2;
      for (int c = 0; c < s.C; c++) total[c] += share[j] * feature[c];
    }
  }
}

// Which bins of the rays count, [rays, samples].
inline void mark_bins(const RodinRays* rays, int64_t begin, int64_t end, uint8_t* out) {
  memset(out + begin * rays->samples, 0, (end - begin) * rays->samples);
  for (int64_t r = begin; r < end; r++) {
    Bins bin(*rays, r);
    while (bin.next()) out[r * rays->samples + bin.index] = 1;
  }
}

}  // namespace
