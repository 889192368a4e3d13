/* What the kernels share: vectors, and an exponential that vectorises.
 *
 * `native.py` compiles these files, its siblings call them. float32, contiguous where
 * no stride is given, one thread, sums always in the same order. Nothing here knows of Python or torch.
 * Every kernel gives 0, NO_ROOM if it found no memory for itself, or NO_TOKEN if it was asked for a
 * token beyond the vocabulary.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define SIMD _Pragma("omp simd")
#define LANES 16

enum { NO_ROOM = 1, NO_TOKEN = 2 };

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4)));

INLINE Vector load(const float *x) { return *(const Vector *)x; }
INLINE void store(float *x, Vector v) { *(Vector *)x = v; }
INLINE int64_t up(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

/* Cephes' polynomial, 2 units in the last place; what is no number stays none. */
INLINE float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  float n = rintf(x * 1.44269504f), r = x - n * 0.693359375f;
  r += n * 2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  union { int32_t bits; float value; } power = {((int32_t)n + 127) << 23};
  return y * power.value;
}

/* ---- kernels that others are made of ------------------------------------------------------- */

/* Sequence b has tokens first[b] to first[b] + length[b] among the N rows. It sees, before its own
 * tokens, the before[b / group] tokens of its prompt (P L K H); its own up to each one, or all of them. */
typedef struct {
  const float *q, *k, *v, *prompt_k, *prompt_v;
  const int64_t *first, *length, *before;
  int64_t sequences, group, query_heads, key_heads, prompt_width, q_stride, k_stride, v_stride;
  int64_t causal, size;
} Attention;

int attention(const Attention *a, float *y, float *log_sum);
int attention_of_one(const float *q, const float *k, const float *v, const int64_t *length,
                     float *out, int64_t a, int64_t query_heads, int64_t key_heads, int64_t room,
                     int64_t prompt_width, int64_t end, int64_t H);
int rms_norm(const float *x, const float *weight, float *y, float *inverse, int64_t n, int64_t d,
             float eps);
int swiglu(const float *gate, const float *up_, float *y, int64_t n);
int rotate(const float *x, int64_t stride, const float *cosine, const float *sine, float *y,
           int64_t n, int64_t heads, int64_t h, float sign);
