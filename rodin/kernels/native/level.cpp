// The kernels of one instruction level. CMake compiles this file once a level, with RODIN_LEVEL as its name. No STL
// here: its inline functions have no namespace of ours, and the linker would give one level's code to all.
#include "fit.h"
#include "lines.h"
#include "norm.h"

namespace {

// What a call needs, compiled for the presets' widths: channels and hidden units, padded to 16.
template <int CP, int HP>
constexpr RodinLevel functions() {
  return {decode<CP, HP>, render<CP, HP>, backward<CP, HP>, mark_bins,  fit<CP, HP>,
          add_lines,      sum_lines,      pad_edges,        unpad_edges, norm, norm_gradient};
}

}  // namespace

#define RODIN_JOIN(a, b) a##b
#define RODIN_TABLE(level) RODIN_JOIN(rodin_level_, level)

// The functions for a decoder: smoke and mini, EG3D's shape, paper, and any other or none.
RodinLevel RODIN_TABLE(RODIN_LEVEL)(const RodinDecoder* decoder) {
  if (!decoder) return functions<0, 0>();
  const int channels = padded(decoder->channels), hidden = padded(decoder->hidden);
  if (channels == 16 && hidden == 32) return functions<16, 32>();
  if (channels == 32 && hidden == 64) return functions<32, 64>();
  if (channels == 32 && hidden == 128) return functions<32, 128>();
  return functions<0, 0>();
}
