// The decoder (rodin/render/decoder.py): its parameters packed for vectors, and the way of a batch of samples through it and
// back. A batch, of one ray's samples or of many rays', is what keeps several sums in flight.
//
// Every width is padded with zeros to a multiple of 16: padded units are zero, or multiplied by zero. A matrix W is kept
// by columns for y = W x (`in`: one row a column of W) and by rows for W^T y (`out`). Batches are [N, width].
#pragma once
#include "api.h"
#include "products.h"

namespace {

constexpr int MOST_LAYERS = 8;

// Sizes of a decoder. C channels, E embedded channels, H hidden, M materials, O outputs of the last layer, K emitted
// numbers, T of a ray's term, which is a sum over `basis` numbers of its direction; the trailing p is for padded.
//
// Without materials a sample emits the colour that is put out. With them it emits shares times shade, residual and
// shares: here as two blocks of Op floats, the first laid out like the logits and residuals that are put out. The shade
// is no output: like the direction of a decoder without materials it comes in by the ray's term, see direction_term.
struct Shape {
  int C, Cp, Ep, H, Hp, F, M, O, Op, K, Kp, layers, basis, T;
  bool softplus;
  explicit Shape(const RodinDecoder& d)
      : C(d.channels), Cp(padded(d.channels)), Ep(padded(d.channels) * (1 + 2 * d.frequencies)), H(d.hidden),
        Hp(padded(d.hidden)), F(d.frequencies), M(d.materials), O(M ? M + 3 : d.colours), Op(padded(O)), K(O + M),
        Kp(M ? 2 * Op : Op), layers(d.colour_layers), basis((d.view ? 8 : 0) + (M ? 1 : 0)), T(M ? Hp + PAD : Hp),
        softplus(d.softplus != 0) {}
};

// Emitted numbers [Kp] in the order [K] that is the world's, times `scale`; and the way back, with zeros for padding.
INLINE void unpack(const Shape& s, const float* emitted, float scale, float* to) {
  for (int k = 0; k < s.O; k++) to[k] = scale * emitted[k];
  for (int k = 0; k < s.M; k++) to[s.O + k] = scale * emitted[s.Op + k];
}
INLINE void pack(const Shape& s, const float* from, float* emitted) {
  memset(emitted, 0, s.Kp * 4);
  for (int k = 0; k < s.O; k++) emitted[k] = from[k];
  for (int k = 0; k < s.M; k++) emitted[s.Op + k] = from[s.O + k];
}

// The packed parameters, or their gradients: the two have one layout. A row of `direction` [basis, T] is what a number of
// the direction adds to a ray's term; with materials the first row is the shade's constant, and biases stand behind the
// weights.
struct Packed {
  float *trunk_in, *trunk_bias, *density, *direction, *out_in, *out_bias;
  float *layer_in[MOST_LAYERS], *layer_bias[MOST_LAYERS];
  float density_bias = 0;

  static size_t floats(const Shape& s) {
    return (size_t)s.Ep * s.Hp + s.Hp * 2 + s.basis * s.T + (size_t)s.Op * s.Hp + s.Op +
           (size_t)s.layers * (s.Hp * s.Hp + s.Hp) + 64;
  }
  Packed(const Shape& s, Arena& arena) {
    trunk_in = arena.take((size_t)s.Ep * s.Hp);
    trunk_bias = arena.take(s.Hp);
    density = arena.take(s.Hp);
    direction = arena.take(s.basis * s.T);
    out_in = arena.take((size_t)s.Hp * s.Op);
    out_bias = arena.take(s.Op);
    for (int l = 0; l < s.layers; l++) {
      layer_in[l] = arena.take((size_t)s.Hp * s.Hp);
      layer_bias[l] = arena.take(s.Hp);
    }
  }
  // Visit every parameter in torch's order with its place here: the one description of both layouts.
  template <class Visit>
  void each(const Shape& s, Visit visit) {
    for (int h = 0; h < s.H; h++) {
      int row = s.C * (1 + 2 * s.F);
      // torch's row h, column by column; the embedded channel of column c is found by its group
      for (int c = 0; c < row; c++) {
        int e = c;
        if (c >= s.C) {
          int r = c - s.C, part = r / (s.C * s.F), inner = r % (s.C * s.F);
          e = s.Cp * (1 + part * s.F + inner % s.F) + inner / s.F;
        }
        visit(trunk_in[(size_t)e * s.Hp + h]);
      }
    }
    for (int h = 0; h < s.H; h++) visit(trunk_bias[h]);
    for (int h = 0; h < s.H; h++) visit(density[h]);
    visit(density_bias);
    for (int l = 0; l < s.layers; l++) {
      for (int o = 0; o < s.H; o++)
        for (int i = 0; i < s.H; i++) visit(layer_in[l][(size_t)i * s.Hp + o]);
      for (int o = 0; o < s.H; o++) visit(layer_bias[l][o]);
    }
    for (int k = 0; k < s.O; k++)
      for (int h = 0; h < s.H; h++) visit(out_in[(size_t)h * s.Op + k]);
    if (s.M) {  // the shade's rows of the last layer
      for (int b = 0; b < s.basis; b++)
        for (int h = 0; h < s.H; h++) visit(direction[b * s.T + h]);
      for (int k = 0; k < s.O; k++) visit(out_bias[k]);
      for (int b = 0; b < s.basis; b++) visit(direction[b * s.T + s.Hp]);
      return;
    }
    for (int k = 0; k < s.O; k++) visit(out_bias[k]);
    if (s.basis)
      for (int h = 0; h < s.H; h++)
        for (int b = 0; b < s.basis; b++) visit(direction[b * s.T + h]);
  }
};

// A decoder ready to run.
struct Network {
  Shape s;
  Arena arena;
  Packed w;
  float *trunk_out, *out_out, *layer_out[MOST_LAYERS];  // the transposed matrices
  float shift, scale;

  explicit Network(const RodinDecoder& d)
      : s(d), arena(2 * Packed::floats(s)), w(s, arena), shift(d.density_shift), scale(d.density_scale) {
    const float* from = d.parameters;
    w.each(s, [&](float& to) { to = *from++; });
    trunk_out = arena.take((size_t)s.Hp * s.Ep);
    transpose(w.trunk_in, s.Ep, s.Hp, trunk_out);
    out_out = arena.take((size_t)s.Op * s.Hp);
    transpose(w.out_in, s.Hp, s.Op, out_out);
    for (int l = 0; l < s.layers; l++) {
      layer_out[l] = arena.take((size_t)s.Hp * s.Hp);
      transpose(w.layer_in[l], s.Hp, s.Hp, layer_out[l]);
    }
  }
};

// Features f [Cp] to e [Ep]: the features, sin and cos of 2^k of them (Decoder.embed). The two may begin together.
inline void embed(const Shape& s, const float* f, float* e) {
  for (int c = 0; c < s.Cp; c += LANES) {
    vf v = load(f + c);
    store(e + c, v);
    float octave = 1;
    for (int k = 0; k < s.F; k++, octave *= 2) {
      vf sine, cosine;
      sincos(v * octave, sine, cosine);
      store(e + (1 + k) * s.Cp + c, sine);
      store(e + (1 + s.F + k) * s.Cp + c, cosine);
    }
  }
}

// The gradient of embed: ge [Ep] to gf [Cp], given e.
inline void embed_backward(const Shape& s, const float* e, const float* ge, float* gf) {
  for (int c = 0; c < s.Cp; c += LANES) {
    vf g = load(ge + c);
    float octave = 1;
    for (int k = 0; k < s.F; k++, octave *= 2) {
      int sine = (1 + k) * s.Cp + c, cosine = (1 + s.F + k) * s.Cp + c;
      g += octave * (load(ge + sine) * load(e + cosine) - load(ge + cosine) * load(e + sine));
    }
    store(gf + c, g);
  }
}

// rodin.render.decoder.direction_basis, with materials after a 1 for the shade's constant. b [9]; s.basis of it count.
inline void direction_basis(const Shape& s, const float* d, float* b) {
  float x = d[0], y = d[1], z = d[2];
  if (s.M) *b++ = 1;
  b[0] = x, b[1] = y, b[2] = z, b[3] = x * y, b[4] = y * z, b[5] = z * x, b[6] = x * x - y * y, b[7] = 3 * z * z - 1;
}

// The term [T] of all samples of a ray: what its direction adds to the hidden layer or, with materials, the weights that
// the shade has along it and, behind them, its bias.
template <int HP>
INLINE void direction_term(const Network& net, const float* direction, float* term) {
  const Shape& s = net.s;
  memset(term, 0, s.T * 4);
  float basis[9];
  direction_basis(s, direction, basis);
  if (s.M) {
    matmul<0>(net.w.direction, basis, s.basis, s.T, 1, term);
  } else {
    matmul<HP>(net.w.direction, basis, s.basis, s.T, 1, term);
  }
}

// What a batch of samples leaves on its way through the network, for the way back.
struct Batch {
  float *e, *hidden, *hidden_slope;                    // embedded features [N, Ep]; trunk [N, Hp]
  float *x[MOST_LAYERS + 1], *slope[MOST_LAYERS + 1];  // colour head: x[0] see enter_head, then every layer
  float *out, *emitted;                                // what the last layer puts out [N, Op]; [N, Kp]
  float *shade, *shade_slope;                          // with materials [N], and d shade / d raw
  float* raw;                                          // the density before its softplus [N]

  static size_t floats(const Shape& s, int capacity) {
    return (size_t)padded(capacity) * (s.Ep + 2 * s.Hp + (2 * s.layers + 1) * s.Hp + s.Op + s.Kp + 3) + 64;
  }
  Batch(const Shape& s, int capacity, Arena& arena) {
    const size_t n = padded(capacity);
    e = arena.take(n * s.Ep), hidden = arena.take(n * s.Hp), hidden_slope = arena.take(n * s.Hp);
    x[0] = arena.take(n * s.Hp);
    for (int l = 1; l <= s.layers; l++) x[l] = arena.take(n * s.Hp), slope[l] = arena.take(n * s.Hp);
    emitted = arena.take(n * s.Kp), out = s.M ? arena.take(n * s.Op) : emitted;
    shade = arena.take(n), shade_slope = arena.take(n), raw = arena.take(n);
  }
};

// Embedded features in b.e to the hidden layer and the raw density; folded planes put the hidden layer without bias and
// activation in b.hidden.
template <int HP>
INLINE void trunk(const Network& net, Batch& b, int count, bool folded, bool slopes) {
  const int hidden = Width<HP>::of(net.s.Hp);
  if (folded) {
    for (int i = 0; i < count; i++)
      for (int v = 0; v < hidden; v += LANES) {
        float* x = b.hidden + (size_t)i * hidden + v;
        store(x, load(x) + load(net.w.trunk_bias + v));
      }
  } else {
    fill_rows<HP>(b.hidden, net.w.trunk_bias, hidden, count);
    matmul<HP>(net.w.trunk_in, b.e, net.s.Ep, hidden, count, b.hidden);
  }
  activate(net.s.softplus, b.hidden, slopes ? b.hidden_slope : nullptr, count * hidden);
  for (int i = 0; i < count; i++) {
    vf acc = {};
    for (int v = 0; v < hidden; v += LANES) acc += load(b.hidden + (size_t)i * hidden + v) * load(net.w.density + v);
    b.raw[i] = sum(acc) + net.w.density_bias + net.shift;
  }
}

constexpr float MOST_RESIDUAL = 0.2f;  // rodin.render.materials.RESIDUAL
constexpr float SHADE = 1.44269504f;   // 1 / ln 2: the shade of 0 is 1

// Shares, shade and residual of what the last layer puts out, and of raw shades in b.shade, as emitted
// (rodin.render.decoder.Decoder). One exponential serves softmax and tanh, each in its lanes; padding becomes 0.
INLINE void emit_materials(const Shape& s, Batch& b, int count, bool slopes) {
  for (int i = 0; i < count; i += LANES) {
    vf raw = load(b.shade + i);
    if (slopes) store(b.shade_slope + i, SHADE * sigmoid(raw));
    store(b.shade + i, SHADE * softplus(raw));
  }
  const vi lane = lanes();
  const vf zero = {};
  for (int i = 0; i < count; i++) {
    const float* out = b.out + (size_t)i * s.Op;
    float *shaded = b.emitted + (size_t)i * s.Kp, *shares = shaded + s.Op;
    vf most = splat(-INFINITY), all = {};
    for (int v = 0; v < s.Op; v += LANES) most = lane + v < s.M ? max(most, load(out + v)) : most;
    const float top = highest(most);
    for (int v = 0; v < s.Op; v += LANES) {
      const vi material = lane + v < s.M;
      vf x = load(out + v), power = exp(material ? x - top : -2.0f * x);
      store(shaded + v, power);
      all += material ? power : zero;
    }
    const float share = 1 / sum(all), shade = b.shade[i];
    for (int v = 0; v < s.Op; v += LANES) {
      const vi material = lane + v < s.M;
      vf power = load(shaded + v), part = material ? share * power : zero;
      store(shares + v, part);
      store(shaded + v, material ? shade * part : 2 * MOST_RESIDUAL / (1.0f + power) - MOST_RESIDUAL);
    }
  }
}

// Row j of b.x[0]: the hidden layer, with the direction where that turns the colours.
template <int HP>
INLINE void enter_head(const Network& net, const float* hidden, const float* term, Batch& b, int j) {
  const int width = Width<HP>::of(net.s.Hp);
  float* x = b.x[0] + (size_t)j * width;
  if (net.s.M) {
    for (int v = 0; v < width; v += LANES) store(x + v, load(hidden + v));
  } else {
    for (int v = 0; v < width; v += LANES) store(x + v, load(hidden + v) + load(term + v));
  }
}

// What the samples in b.x[0] emit; term_of(i) gives the term of sample i's ray.
template <int HP, class TermOf>
INLINE void colour_head(const Network& net, Batch& b, int count, bool slopes, TermOf term_of) {
  const Shape& s = net.s;
  const int hidden = Width<HP>::of(s.Hp);
  for (int l = 1; l <= s.layers; l++) {
    fill_rows<HP>(b.x[l], net.w.layer_bias[l - 1], hidden, count);
    matmul<HP>(net.w.layer_in[l - 1], b.x[l - 1], hidden, hidden, count, b.x[l]);
    activate(s.softplus, b.x[l], slopes ? b.slope[l] : nullptr, count * hidden);
  }
  fill_rows<0>(b.out, net.w.out_bias, s.Op, count);
  matmul<0>(net.w.out_in, b.x[s.layers], hidden, s.Op, count, b.out);
  if (!s.M) {
    for (int k = 0; k < count * s.Op; k += LANES) store(b.emitted + k, sigmoid(load(b.out + k)));
    return;
  }
  for (int i = 0; i < count; i++) {
    const float *x = b.x[s.layers] + (size_t)i * hidden, *term = term_of(i);
    vf acc = {};
    for (int v = 0; v < hidden; v += LANES) acc += load(x + v) * load(term + v);
    b.shade[i] = sum(acc) + term[hidden];
  }
  emit_materials(s, b, count, slopes);
}

// Room for the gradients of a batch.
struct Return {
  float *out, *raw;        // in: of what the last layer puts out [N, Op], of the raw densities [N]
  float* shade;            // in, with materials: of the raw shades [N]
  float *gx, *gz, *ge;     // on the way
  float* features;         // out: [N, Cp]

  static size_t floats(const Shape& s, int capacity) {
    return (size_t)padded(capacity) * (s.Op + 2 + 2 * s.Hp + s.Ep + s.Cp) + 64;
  }
  Return(const Shape& s, int capacity, Arena& arena) {
    const size_t n = padded(capacity);
    out = arena.take(n * s.Op), raw = arena.take(n), shade = arena.take(n);
    gx = arena.take(n * s.Hp), gz = arena.take(n * s.Hp), ge = arena.take(n * s.Ep), features = arena.take(n * s.Cp);
  }
};

// Back from what sample i emits to what the last layer put out, by weight * grad [Kp], which is 0 where padding is. Gives
// `value`, what else the loss says of the sample's weight, plus the sum of grad times what is emitted.
INLINE float emission_backward(const Shape& s, const Batch& b, int i, float weight, const float* grad, float value,
                               Return& r) {
  const float* emitted = b.emitted + (size_t)i * s.Kp;
  float* out = r.out + (size_t)i * s.Op;
  if (!s.M) {
    for (int k = 0; k < s.O; k++) {
      value += grad[k] * emitted[k];
      out[k] = weight * grad[k] * emitted[k] * (1 - emitted[k]);
    }
    return value;
  }
  const vi lane = lanes();
  const vf zero = {};
  const float *shares = emitted + s.Op, *grad_shares = grad + s.Op, shade = b.shade[i];
  vf by_shares = {}, by_shade = {}, by_residual = {};
  for (int v = 0; v < s.Op; v += LANES) {
    vf share = load(shares + v), g = load(grad + v);
    by_shares += share * (shade * g + load(grad_shares + v));
    by_shade += share * g;
    by_residual += lane + v < s.M ? zero : g * load(emitted + v);
  }
  const float mean = sum(by_shares);
  r.shade[i] = weight * sum(by_shade) * b.shade_slope[i];
  for (int v = 0; v < s.Op; v += LANES) {
    vf share = load(shares + v), g = load(grad + v), e = load(emitted + v);
    vf softmax = share * (shade * g + load(grad_shares + v) - mean);
    store(out + v, weight * (lane + v < s.M ? softmax : g * (MOST_RESIDUAL - e * e * (1 / MOST_RESIDUAL))));
  }
  return value + mean + sum(by_residual);
}

// Back from the raw densities to the features; gx holds what reaches the hidden layer through the colours. Gradients of
// parameters are added to `grads` where it is given.
template <int CP, int HP>
INLINE void trunk_backward(const Network& net, const Batch& b, Return& r, int count, Packed* grads) {
  const Shape& s = net.s;
  const int hidden = Width<HP>::of(s.Hp);
  for (int i = 0; i < count; i++)
    for (int v = 0; v < hidden; v += LANES) {
      size_t at = (size_t)i * hidden + v;
      store(r.gz + at, (load(r.gx + at) + r.raw[i] * load(net.w.density + v)) * load(b.hidden_slope + at));
    }
  if (grads) {
    for (int i = 0; i < count; i++) {
      grads->density_bias += r.raw[i];
      for (int v = 0; v < hidden; v += LANES)
        store(grads->density + v, load(grads->density + v) + r.raw[i] * load(b.hidden + (size_t)i * hidden + v));
    }
    add_outer<HP>(grads->trunk_in, b.e, s.Ep, r.gz, hidden, count);
    add_rows<HP>(grads->trunk_bias, r.gz, hidden, count);
  }
  if (!s.F) {
    memset(r.features, 0, (size_t)count * s.Cp * 4);
    matmul<CP>(net.trunk_out, r.gz, hidden, s.Cp, count, r.features);
    return;
  }
  memset(r.ge, 0, (size_t)count * s.Ep * 4);
  matmul<0>(net.trunk_out, r.gz, hidden, s.Ep, count, r.ge);
  for (int i = 0; i < count; i++)
    embed_backward(s, b.e + (size_t)i * s.Ep, r.ge + (size_t)i * s.Ep, r.features + (size_t)i * s.Cp);
}

// Back from what the last layer put out, raw shades and raw densities of one ray's samples to their features. `term` is
// the ray's; its gradient is added to grad_term [T] where that is given.
template <int CP, int HP>
INLINE void network_backward(const Network& net, const Batch& b, Return& r, int count, Packed* grads, const float* term,
                             float* grad_term) {
  const Shape& s = net.s;
  const int hidden = Width<HP>::of(s.Hp);
  const size_t all = (size_t)count * hidden;
  if (grads) {
    add_outer<0>(grads->out_in, b.x[s.layers], hidden, r.out, s.Op, count);
    add_rows<0>(grads->out_bias, r.out, s.Op, count);
  }
  memset(r.gx, 0, all * 4);
  product<HP>(net.out_out, r.out, 1, s.Op, s.O, count, hidden, r.gx);
  if (s.M) {
    matmul<HP>(term, r.shade, 1, hidden, count, r.gx);
    if (grad_term) {
      add_outer<HP>(grad_term, r.shade, 1, b.x[s.layers], hidden, count);
      for (int i = 0; i < count; i++) grad_term[hidden] += r.shade[i];
    }
  }
  for (int l = s.layers; l >= 1; l--) {
    for (size_t i = 0; i < all; i += LANES) store(r.gz + i, load(r.gx + i) * load(b.slope[l] + i));
    if (grads) {
      add_outer<HP>(grads->layer_in[l - 1], b.x[l - 1], hidden, r.gz, hidden, count);
      add_rows<HP>(grads->layer_bias[l - 1], r.gz, hidden, count);
    }
    memset(r.gx, 0, all * 4);
    matmul<HP>(net.layer_out[l - 1], r.gz, hidden, hidden, count, r.gx);
  }
  if (grad_term && !s.M) add_rows<HP>(grad_term, r.gx, hidden, count);
  trunk_backward<CP, HP>(net, b, r, count, grads);
}

}  // namespace
