// Rendering with gradients, and one whole step of fitting (rodin/fit/losses.py, rodin/fit/step.py).
//
// With w_i the weights, c_i what is emitted and v_i = dL/dw_i of a ray's samples, delta their length and T_i the light that
// reaches them:
//
//     dL/dsigma_i = delta (T_i (1 - alpha_i) v_i - sum_{j>i} w_j v_j)
#pragma once
#include "render.h"

namespace {

constexpr float FIT_OPAQUE = 1e-5f;  // light behind which a ray that is fitted is not followed
constexpr int MOST_TOTALS = WIDEST + 2 * PAD + 2;  // packed, alpha and depth behind them

// One ray's samples, kept for the way back.
template <int CP, int HP>
class RayTrace {
 public:
  struct Sample {
    Corners corners;
    float alpha, reach, weight, slope, distance;  // reach: the light that reaches it; slope: d density / d raw
    int bin;
  };

  RayTrace(const Network& net, int samples)
      : net_(net),
        arena_(Batch::floats(net.s, samples) + Return::floats(net.s, samples) + 2 * net.s.T + 2 * padded(samples) + 64),
        samples_((Sample*)malloc(sizeof(Sample) * samples)), batch_(net.s, samples, arena_),
        return_(net.s, samples, arena_), term_(arena_.take(net.s.T)), grad_term_(arena_.take(net.s.T)),
        density_(arena_.take(samples)), pull(arena_.take(samples)) {}
  ~RayTrace() { free(samples_); }
  RayTrace(const RayTrace&) = delete;
  RayTrace& operator=(const RayTrace&) = delete;

  // Follow ray r; totals [Kp + 2]: what is seen, packed, alpha and depth.
  void forward(const RodinPlanes& planes, const RodinRays& rays, int64_t r, float* totals) {
    const Shape& s = net_.s;
    const int hidden = Width<HP>::of(s.Hp);
    Bins bin(rays, r);
    memcpy(direction_, bin.direction, sizeof direction_);
    step_ = bin.step;
    memset(totals, 0, (s.Kp + 2) * 4);
    int found = 0;
    for (; bin.next(); found++) {
      look_up_point<CP, HP>(net_, planes, bin.point, samples_[found].corners, batch_, found);
      samples_[found].distance = bin.distance;
      samples_[found].bin = bin.index;
    }
    count = 0;
    if (!found) return;
    trunk<HP>(net_, batch_, found, false, true);
    for (int i = 0; i < found; i += LANES) {
      vf raw = load(batch_.raw + i);
      store(batch_.raw + i, net_.scale * sigmoid(raw));  // its slope takes its place
      store(density_ + i, exp(-step_ * net_.scale * softplus(raw)));
    }
    float through = 1;
    while (count < found && through >= FIT_OPAQUE) {
      Sample& sample = samples_[count];
      sample.slope = batch_.raw[count];
      sample.alpha = 1 - density_[count];
      sample.reach = through;
      sample.weight = through * sample.alpha;
      through *= density_[count];
      count++;
    }
    direction_term<HP>(net_, direction_, term_);
    for (int i = 0; i < count; i++) enter_head<HP>(net_, batch_.hidden + (size_t)i * hidden, term_, batch_, i);
    colour_head<HP>(net_, batch_, count, true, [&](int) { return term_; });
    for (int i = 0; i < count; i++) {
      add_scaled(totals, batch_.emitted + (size_t)i * s.Kp, samples_[i].weight, s.Kp);
      totals[s.Kp + 1] += samples_[i].weight * samples_[i].distance;
    }
    totals[s.Kp] = 1 - through;
  }

  const Sample& sample(int i) const { return samples_[i]; }

  // Back from grad [Kp + 2] of the totals, plus pull[i], what else the loss says of the weights; into the gradients of
  // planes and, where given, parameters.
  void backward(const float* grad, float* grad_planes, int stride, Packed* grads) {
    const Shape& s = net_.s;
    if (!count) return;
    float behind = 0;  // sum of w_j v_j of the samples behind
    for (int i = count - 1; i >= 0; i--) {
      const Sample& sample = samples_[i];
      const float others = grad[s.Kp] + grad[s.Kp + 1] * sample.distance + pull[i];
      const float v = emission_backward(s, batch_, i, sample.weight, grad, others, return_);
      return_.raw[i] = step_ * (sample.reach * (1 - sample.alpha) * v - behind) * sample.slope;
      behind += sample.weight * v;
    }
    const bool direction = grads && s.basis;
    if (direction) memset(grad_term_, 0, s.T * 4);
    network_backward<CP, HP>(net_, batch_, return_, count, grads, term_, direction ? grad_term_ : nullptr);
    for (int i = 0; i < count; i++) scatter<CP>(grad_planes, samples_[i].corners, return_.features + (size_t)i * s.Cp, stride);
    if (!direction) return;
    float basis[9];
    direction_basis(s, direction_, basis);
    add_outer<0>(grads->direction, basis, s.basis, grad_term_, s.T, 1);
  }

 private:
  const Network& net_;
  Arena arena_;
  Sample* samples_;
  Batch batch_;
  Return return_;
  float *term_, *grad_term_, *density_, direction_[3], step_ = 0;

 public:
  float* pull;  // [count]
  int count = 0;
};

template <int CP, int HP>
void backward(const RodinDecoder* decoder, const RodinPlanes* planes, const RodinRays* rays, const float* grad_totals,
              int64_t begin, int64_t end, float* grad_planes) {
  Network net(*decoder);
  RayTrace<CP, HP> trace(net, rays->samples);
  const Shape& s = net.s;
  float totals[MOST_TOTALS], grad[MOST_TOTALS];
  memset(trace.pull, 0, rays->samples * 4);
  for (int64_t r = begin; r < end; r++) {
    const float* given = grad_totals + r * (s.K + 2);
    trace.forward(*planes, *rays, r, totals);
    pack(s, given, grad);
    memcpy(grad + s.Kp, given + s.K, 2 * 4);
    trace.backward(grad, grad_planes, planes->stride, nullptr);
  }
}

// Distortion of a ray's weights over its bins (rodin.fit.losses.distortion); its gradient goes to pull, times `weight`.
template <int CP, int HP>
double distortion(RayTrace<CP, HP>& trace, int samples, float weight) {
  double mass = 0, moment = 0, value = 0;
  double all_mass = 0, all_moment = 0;
  for (int i = 0; i < trace.count; i++) {
    double w = trace.sample(i).weight;
    all_mass += w, all_moment += w * (trace.sample(i).bin + 0.5) / samples;
  }
  for (int i = 0; i < trace.count; i++) {
    double w = trace.sample(i).weight, middle = (trace.sample(i).bin + 0.5) / samples;
    double mass_after = all_mass - mass - w, moment_after = all_moment - moment - w * middle;
    double pairs = middle * mass - moment + moment_after - middle * mass_after;  // sum_j w_j |m_i - m_j|
    value += 2 * w * (middle * mass - moment) + w * w / (3.0 * samples);
    trace.pull[i] = (float)(weight * (2 * pairs + 2 * w / (3.0 * samples)));
    mass += w, moment += w * middle;
  }
  return value;
}

// Total variation and mean absolute value of the planes; their gradients are added to `gradient`.
inline double regularize(const RodinFit& f, int C, float* gradient) {
  const int64_t H = f.height, W = f.width, n = f.stride;
  const double down = H > 1 ? 1.0 / (3.0 * C * (H - 1) * W) : 0, right = W > 1 ? 1.0 / (3.0 * C * H * (W - 1)) : 0;
  const double each = 1.0 / (3.0 * C * H * W);
  double loss = 0;
  for (int64_t p = 0; p < 3; p++)
    for (int64_t y = 0; y < H; y++) {
      vf rows = {}, columns = {}, size = {};
      for (int64_t x = 0; x < W; x++)
        for (int64_t c = 0; c < n; c += LANES) {
          int64_t here = ((p * H + y) * W + x) * n + c;
          vf v = load(f.planes + here), g = load(gradient + here);
          if (f.smooth > 0 && y + 1 < H) {
            vf d = load(f.planes + here + W * n) - v;
            rows += d * d;
            g -= (float)(2 * f.smooth * down) * d;
          }
          if (f.smooth > 0 && y > 0) g += (float)(2 * f.smooth * down) * (v - load(f.planes + here - W * n));
          if (f.smooth > 0 && x + 1 < W) {
            vf d = load(f.planes + here + n) - v;
            columns += d * d;
            g -= (float)(2 * f.smooth * right) * d;
          }
          if (f.smooth > 0 && x > 0) g += (float)(2 * f.smooth * right) * (v - load(f.planes + here - n));
          vf zero = {}, sign = splat((float)(f.sparse * each));
          size += max(v, -v);
          g += v > 0 ? sign : (v < 0 ? -sign : zero);
          store(gradient + here, g);
        }
      loss += f.smooth * (down * sum(rows) + right * sum(columns)) + f.sparse * each * sum(size);
    }
  return loss;
}

// Opacity of points outside the occupied cells (rodin.fit.losses.opacity_at).
template <int CP, int HP>
double clear_outside(const Network& net, const RodinPlanes& planes, const RodinFit& f, float* gradient, Packed* grads) {
  const Shape& s = net.s;
  Arena arena(Batch::floats(s, BATCH) + Return::floats(s, BATCH));
  Batch b(s, BATCH, arena);
  Return r(s, BATCH, arena);  // gx stays zero: no colour is asked for
  Corners corners[BATCH];
  const float weight = f.empty / f.points * f.outside_step * net.scale;
  double loss = 0;
  for (int64_t first = 0; first < f.points; first += BATCH) {
    const int n = (int)(f.points - first < BATCH ? f.points - first : BATCH);
    for (int i = 0; i < n; i++) look_up_point<CP, HP>(net, planes, f.outside + 3 * (first + i), corners[i], b, i);
    trunk<HP>(net, b, n, false, true);
    for (int i = 0; i < n; i += LANES) {
      vf raw = load(b.raw + i), passed = exp(-net.scale * f.outside_step * softplus(raw));
      store(b.raw + i, passed);
      store(r.raw + i, weight * passed * sigmoid(raw));
    }
    for (int i = 0; i < n; i++) loss += 1 - b.raw[i];
    trunk_backward<CP, HP>(net, b, r, n, grads);
    for (int i = 0; i < n; i++) scatter<CP>(gradient, corners[i], r.features + (size_t)i * s.Cp, planes.stride);
  }
  return loss / f.points;
}

// Adam (Kingma & Ba 2015) on n floats.
inline void adam(float* values, float* first, float* second, const float* gradient, int64_t n, float rate, int64_t step,
                 const RodinFit& f) {
  const float grow = 1 / (1 - powf(f.beta1, (float)step)), spread = 1 / sqrtf(1 - powf(f.beta2, (float)step));
  for (int64_t i = 0; i < n; i++) {
    float g = gradient[i];
    float m = f.beta1 * first[i] + (1 - f.beta1) * g, v = f.beta2 * second[i] + (1 - f.beta2) * g * g;
    first[i] = m, second[i] = v;
    values[i] -= rate * grow * m / (sqrtf(v) * spread + f.epsilon);
  }
}

// What the totals of ray r [Kp + 2] cost, and the gradient of that, grad [Kp + 2] (rodin.fit.losses.picture_loss). That of
// the palette is added to grad_palette [M, 3].
inline double picture_loss(const Shape& s, const RodinFit& f, int64_t r, int64_t rays, const float* totals, float* grad,
                           float* grad_palette) {
  const float part = 1.0f / (4.0f * rays);
  float painted[4] = {totals[0], totals[1], totals[2], totals[s.Kp]}, error[4];
  if (s.M) {
    for (int c = 0; c < 3; c++) painted[c] = totals[s.M + c];
    for (int k = 0; k < s.M; k++)
      for (int c = 0; c < 3; c++) painted[c] += totals[k] * f.palette[3 * k + c];
  }
  double loss = 0;
  for (int c = 0; c < 4; c++) {
    float difference = painted[c] - f.targets[4 * r + c];
    loss += part * ((double)difference * difference);
    error[c] = 2 * difference * part;
  }
  memset(grad, 0, (s.Kp + 2) * 4);
  grad[s.Kp] = error[3];
  if (!s.M) {
    for (int c = 0; c < 3; c++) grad[c] = error[c];
    return loss;
  }
  const float *shares = totals + s.Op, *wanted = f.shares ? f.shares + r * s.M : nullptr;
  const float by_residual = f.residual / (3 * rays), by_shade = f.shade / rays, by_share = f.share / ((float)rays * s.M);
  for (int c = 0; c < 3; c++) {
    const float residual = totals[s.M + c];
    grad[s.M + c] = error[c] + 2 * by_residual * residual;
    loss += by_residual * ((double)residual * residual);
  }
  for (int k = 0; k < s.M; k++) {
    const float shaded = totals[k] - shares[k], missed = wanted ? shares[k] - wanted[k] : 0;
    loss += by_shade * ((double)shaded * shaded) + by_share * ((double)missed * missed);
    grad[k] = 2 * by_shade * shaded;
    grad[s.Op + k] = 2 * by_share * missed - grad[k];
    for (int c = 0; c < 3; c++) {
      grad[k] += error[c] * f.palette[3 * k + c];
      grad_palette[3 * k + c] += error[c] * totals[k];
    }
  }
  return loss;
}

template <int CP, int HP>
double fit(const RodinDecoder* decoder, const RodinRays* rays, const RodinFit* step) {
  const RodinFit& f = *step;
  Network net(*decoder);
  const Shape& s = net.s;
  const bool learned = f.decoder_first != nullptr || f.decoder_gradient != nullptr;
  const bool resized = f.rows != nullptr;
  const int h = resized ? f.rows->size : f.height, w = resized ? f.columns->size : f.width;
  const size_t own = (size_t)3 * f.height * f.width * f.stride, shown = (size_t)3 * h * w * f.stride;
  const bool other = resized || f.noise;  // whether what is rendered is not the planes themselves
  Arena arena(own + (other ? 2 * shown : 0) + (resized ? (size_t)3 * h * f.width * f.stride : 0) + Packed::floats(s) +
              padded(3 * s.M) + 256);
  float* gradient = arena.take(own);
  float* rendered = other ? arena.take(shown) : f.planes;
  float* grad_rendered = other ? arena.take(shown) : gradient;
  float* between = resized ? arena.take((size_t)3 * h * f.width * f.stride) : nullptr;
  float* grad_palette = arena.take(3 * s.M);
  Packed grads(s, arena);
  Packed* learn = learned ? &grads : nullptr;

  if (resized) {
    resize(f.planes, f.height, f.width, f.stride, *f.rows, *f.columns, between, rendered);
  } else if (other) {
    memcpy(rendered, f.planes, own * 4);
  }
  if (f.noise) add_scaled(rendered, f.noise, 1, (int64_t)shown);
  RodinPlanes planes = {rendered, h, w, f.stride, 0};

  RayTrace<CP, HP> trace(net, rays->samples);
  memset(trace.pull, 0, rays->samples * 4);
  double loss = 0, spread = 0;
  for (int64_t r = 0; r < rays->count; r++) {
    float totals[MOST_TOTALS], grad[MOST_TOTALS];
    trace.forward(planes, *rays, r, totals);
    loss += picture_loss(s, f, r, rays->count, totals, grad, grad_palette);
    if (f.compact > 0) spread += distortion(trace, rays->samples, f.compact / rays->count);
    trace.backward(grad, grad_rendered, f.stride, learn);
  }
  loss += f.compact * spread / rays->count;
  if (f.empty > 0 && f.points) loss += f.empty * clear_outside<CP, HP>(net, planes, f, grad_rendered, learn);

  if (resized) {
    resize_backward(grad_rendered, f.height, f.width, f.stride, *f.rows, *f.columns, between, gradient);
  } else if (other) {
    add_scaled(gradient, grad_rendered, 1, (int64_t)own);
  }
  loss += regularize(f, s.C, gradient);

  if (f.plane_gradient) {
    memcpy(f.plane_gradient, gradient, own * 4);
    float* to = f.decoder_gradient;
    if (to) grads.each(s, [&](float& from) { *to++ = from; });
    if (f.palette_gradient) memcpy(f.palette_gradient, grad_palette, 3 * s.M * 4);
    return loss;
  }
  adam(f.planes, f.first, f.second, gradient, (int64_t)own, f.learning_rate, f.plane_step, f);
  if (s.M) {
    adam(f.palette, f.palette_first, f.palette_second, grad_palette, 3 * s.M, f.palette_learning_rate, f.palette_step, f);
    for (int k = 0; k < 3 * s.M; k++) f.palette[k] = min(max(f.palette[k], 0.0f), 1.0f);
  }
  if (learned) {
    float* values = f.decoder_parameters;
    float *first = f.decoder_first, *second = f.decoder_second;
    grads.each(s, [&](float& g) { adam(values++, first++, second++, &g, 1, f.decoder_learning_rate, f.decoder_step, f); });
  }
  return loss;
}

}  // namespace
