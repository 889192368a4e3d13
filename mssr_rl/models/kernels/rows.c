/* RMSNorm, SwiGLU and rotary positions, each in one pass over its memory.
 *
 * Torch takes several passes, through several operations, for each. `fused.py` says what they compute.
 *
 * Shapes: n rows of d values, or of heads with h values each.
 */

#include "common.h"

/* ---- RMSNorm ---------------------------------------------------------------------------- */

int rms_norm(const float *restrict x, const float *restrict weight, float *restrict y,
             float *restrict inverse, int64_t n, int64_t d, float eps) {
  for (int64_t i = 0; i < n; i++, x += d, y += d) {
    float r = inverse[i] = 1.0f / sqrtf(dot(x, x, d) / d + eps);
    SIMD for (int64_t j = 0; j < d; j++) y[j] = x[j] * r * weight[j];
  }
  return 0;
}

int rms_norm_gradient(const float *restrict g, const float *restrict x,
                      const float *restrict weight, const float *restrict inverse,
                      float *restrict dx, float *restrict dweight, int64_t n, int64_t d) {
  memset(dweight, 0, d * sizeof(float));
  for (int64_t i = 0; i < n; i++, g += d, x += d, dx += d) {
    float r = inverse[i], along = 0;
#pragma omp simd reduction(+ : along)
    for (int64_t j = 0; j < d; j++) {
      float t = g[j] * x[j] * r;
      dweight[j] += t;
      along += t * weight[j];
    }
    along = along / d * r;
    SIMD for (int64_t j = 0; j < d; j++) dx[j] = (g[j] * weight[j] - x[j] * along) * r;
  }
  return 0;
}

/* ---- SwiGLU ----------------------------------------------------------------------------- */

int swiglu(const float *restrict gate, const float *restrict up_, float *restrict y, int64_t n) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    Vector g = load(gate + i);
    store(y + i, g / (1.0f + exponential_of(-g)) * load(up_ + i));
  }
  for (; i < n; i++)
    y[i] = gate[i] / (1.0f + exponential(-gate[i])) * up_[i];
  return 0;
}

int swiglu_gradient(const float *restrict g, const float *restrict gate,
                    const float *restrict up_, float *restrict dgate, float *restrict dup,
                    int64_t n) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    Vector x = load(gate + i), s = 1.0f / (1.0f + exponential_of(-x)), silu = x * s;
    Vector to = load(g + i);
    store(dup + i, to * silu);
    store(dgate + i, to * load(up_ + i) * (s + silu * (1.0f - s)));
  }
  for (; i < n; i++) {
    float s = 1.0f / (1.0f + exponential(-gate[i])), silu = gate[i] * s;
    dup[i] = g[i] * silu;
    dgate[i] = g[i] * up_[i] * (s + silu * (1.0f - s));
  }
  return 0;
}

/* ---- rotation --------------------------------------------------------------------------- */

/* Rows of heads, `stride` apart; cosine and sine n H/2; sign -1 turns back. */
int rotate(const float *restrict x, int64_t stride, const float *restrict cosine,
           const float *restrict sine, float *restrict y, int64_t n, int64_t heads, int64_t h,
           float sign) {
  int64_t half = h / 2;
  for (int64_t i = 0; i < n; i++, cosine += half, sine += half)
    for (int64_t head = 0; head < heads; head++) {
      const float *a = x + i * stride + head * h, *b = a + half;
      float *out = y + (i * heads + head) * h;
      SIMD for (int64_t j = 0; j < half; j++) {
        float s = sign * sine[j];
        out[j] = a[j] * cosine[j] - b[j] * s;
        out[half + j] = b[j] * cosine[j] + a[j] * s;
      }
    }
  return 0;
}
