// The C interface between Python (rodin/kernels/structs.py) and the kernels. Floats are 32 bits but in RodinMaps, all arrays
// contiguous. Widths that vectors run along are padded with zeros to a multiple of 16 by the caller ("stride").
#pragma once
#include <stdint.h>

#define RODIN_ABI 4

extern "C" {

// rodin.render.decoder.Decoder: its config and all its parameters, flat, in the order of decoder.parameters().
typedef struct {
  int32_t channels, hidden, frequencies, colour_layers, colours;
  int32_t materials;  // 0: a sample emits its colour; else what rodin.render.materials paints, 2 materials + 3 numbers
  int32_t softplus;  // activation: 0 = silu, 1 = softplus
  int32_t view;      // whether colour, with materials its shade, depends on the direction
  float density_shift, density_scale;
  const float* parameters;
} RodinDecoder;

// Tri-planes, channels last: [3, height, width, stride]. Folded planes hold the trunk's output before its bias.
typedef struct {
  const float* values;
  int32_t height, width, stride, folded;
} RodinPlanes;

// Rays clipped to the box, and which of their bins count: `bins` [count, samples] of 0 and 1, or, where that is null,
// the bins whose middle lies within `grow` cells of a marked one by `distance` [cells, cells, cells], or all of them.
typedef struct {
  const float *origins, *directions, *near, *far;
  const float* jitter;  // [count] place inside the bins, or null for their middle
  const uint8_t* bins;
  const uint8_t* distance;
  int64_t count;
  int32_t samples, cells, grow;
} RodinRays;

// One dimension of a resize: output i is the sum of weights[i, k] times input starts[i] + k, k < taps.
typedef struct {
  const int32_t* starts;
  const float* weights;
  int32_t size, taps;
} RodinResize;

// One step of fitting. Planes and their Adam moments are [3, height, width, stride].
typedef struct {
  float *planes, *first, *second;
  int32_t height, width, stride;
  const RodinResize *rows, *columns;  // how the planes are rendered; null = as they are
  const float* noise;                 // on the rendered planes, or null
  const float* targets;               // [rays, 4] premultiplied colour and alpha
  const float* shares;                // [rays, materials] the materials' parts of alpha, or null where nobody knows them
  const float* outside;               // [points, 3]
  int64_t points;
  float outside_step;                 // world units
  float sparse, smooth, compact, empty;  // weights of the regularizers
  float share, residual, shade;          // and of what materials add
  float learning_rate, decoder_learning_rate, palette_learning_rate, beta1, beta2, epsilon;
  int64_t plane_step, decoder_step, palette_step;  // Adam's counts, from 1
  float *decoder_first, *decoder_second;  // null = the decoder is frozen
  float* decoder_parameters;
  float *palette, *palette_first, *palette_second;  // [materials, 3] and its moments; null without materials
  // where to leave the gradients, instead of moving anything; or null
  float *plane_gradient, *decoder_gradient, *palette_gradient;
} RodinFit;

// Feature maps: `count` of [height, width, channels], of 32 bits a number or bfloat16.
typedef struct {
  int64_t count;
  int32_t height, width, channels, bfloat16;
} RodinMaps;

// Group norm of maps.
typedef struct {
  int32_t groups, silu;  // groups divide the channels; silu: 1 = SiLU follows
  float eps;
} RodinNorm;

}  // extern "C"

// What one instruction level offers; `begin` and `end` bound the rays, points or planes that a call works on.
struct RodinLevel {
  void (*decode)(const RodinDecoder*, const RodinPlanes*, const float* points, const float* directions, int64_t begin,
                 int64_t end, float* density, float* emitted);
  void (*render)(const RodinDecoder*, const RodinPlanes*, const RodinPlanes* features, const RodinRays*, float opaque,
                 float thin, int64_t begin, int64_t end, float* totals, float* weights);
  void (*backward)(const RodinDecoder*, const RodinPlanes*, const RodinRays*, const float* grad_totals, int64_t begin,
                   int64_t end, float* grad_planes);
  void (*bins)(const RodinRays*, int64_t begin, int64_t end, uint8_t* out);
  double (*fit)(const RodinDecoder*, const RodinRays*, const RodinFit*);
  void (*add_lines)(const RodinMaps*, void* y, const void* rows, const void* columns, int64_t begin, int64_t end);
  void (*sum_lines)(const RodinMaps*, const void* x, void* rows, void* columns, float scale_rows, float scale_columns,
                    int64_t begin, int64_t end);
  void (*pad_edges)(const RodinMaps*, const void* x, void* padded, int64_t begin, int64_t end);
  void (*unpad_edges)(const RodinMaps*, const void* padded, const void* rows, const void* columns, void* x,
                      int64_t begin, int64_t end);
  void (*norm)(const RodinMaps*, const RodinNorm*, const void* x, const float* gain, const float* offset, void* y,
               float* mean, float* rstd, int64_t begin, int64_t end);
  void (*norm_gradient)(const RodinMaps*, const RodinNorm*, const void* x, const void* grad_y, const float* gain,
                        const float* offset, const float* mean, const float* rstd, void* grad_x, float* grad_gain,
                        float* grad_offset, int64_t begin, int64_t end);
};
