/* Whole responses to prompts that have been read: a token is drawn and fed, until all have ended.
 *
 * `decode.py` does the same with torch. A response that has ended is left out from then on; nothing of
 * the others moves, and what is drawn for one does not depend on which others there are.
 *
 * Shapes: B responses of at most T tokens, n of them going on, V vocabulary; the rest as in layers.h.
 */

#include "layers.h"

/* What stands before and behind the layers, and how a token is chosen. */
typedef struct {
  const float *embedding, *norm, *head;  // V D; D; panels
  const float *cosine, *sine;            // of every position, H/2
  const float *uniform;                  // B T, as `draw` takes them, or none
  const int64_t *banned, *ends;
  int64_t vocabulary, banned_count, ends_count, limit, together;
  float temperature;
} Choice;

/* Given of B: which prompt is before it, how long that is, where its first token stands. Made: tokens and
 * their scores, B T, and how many there are. */
typedef struct {
  const int64_t *prompt, *length, *position;
  int64_t prompt_width, *token, *count;
  float *logprob, *entropy;
} Responses;

/* Those that go on: their numbers, the tokens they go on with, their hidden states. And room for some
 * at a time. */
typedef struct {
  int64_t n, *row, *token, *drawn, *prompt, *length;
  float *x, *normed, *inverse, *cosine, *sine, *uniform, *logprob, *entropy, *logits, *layers;
} Going;

INLINE int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

static int has(const int64_t *some, int64_t count, int64_t token) {
  for (int64_t i = 0; i < count; i++)
    if (some[i] == token) return 1;
  return 0;
}

/* Token t of every response from its hidden state; those that it ended are out. */
static int choose(Going *g, const Choice *how, const Responses *r, const Sizes *s, int64_t t) {
  int64_t on = 0, V = how->vocabulary;
  for (int64_t first = 0; first < g->n; first += how->together) {
    int64_t n = lesser(how->together, g->n - first), *row = g->row + first;
    for (int64_t i = 0; how->uniform && i < n; i++)
      g->uniform[i] = how->uniform[row[i] * how->limit + t];
    linear(g->x + first * s->hidden, how->head, NULL, g->logits, n, s->hidden, V);
    int code = draw(g->logits, how->uniform ? g->uniform : NULL, how->banned, how->banned_count,
                    how->temperature, g->drawn, g->logprob, g->entropy, n, V);
    if (code) return code;
    for (int64_t i = 0; i < n; i++) {
      int64_t here = row[i], at = here * how->limit + t;
      r->token[at] = g->drawn[i], r->logprob[at] = g->logprob[i], r->entropy[at] = g->entropy[i];
      r->count[here] = t + 1;
      if (has(how->ends, how->ends_count, g->drawn[i])) continue;
      g->row[on] = here, g->token[on++] = g->drawn[i];
    }
  }
  g->n = on;
  return 0;
}

/* Hidden states behind token t, from which the next is drawn. */
static int feed(Going *g, const Layer *layers, const Sizes *s, const Choice *how,
                const Responses *r, int64_t t) {
  int64_t D = s->hidden, half = s->size / 2, line = half * sizeof(float);
  for (int64_t first = 0; first < g->n; first += how->together) {
    int64_t n = lesser(how->together, g->n - first), *row = g->row + first;
    float *x = g->x + first * D;
    for (int64_t i = 0; i < n; i++) {
      int64_t position = r->position[row[i]] + t;
      memcpy(x + i * D, how->embedding + g->token[first + i] * D, D * sizeof(float));
      memcpy(g->cosine + i * half, how->cosine + position * half, line);
      memcpy(g->sine + i * half, how->sine + position * half, line);
      g->prompt[i] = r->prompt[row[i]], g->length[i] = r->length[row[i]];
    }
    Context seen = {.prompt = g->prompt, .length = g->length, .row = row};
    seen.prompt_width = r->prompt_width, seen.room = s->room, seen.own = t + 1;
    int code = layers_of_one(layers, s, x, n, g->cosine, g->sine, seen, g->layers);
    if (code) return code;
    rms_norm(x, how->norm, g->normed, g->inverse, n, D, s->eps);
    memcpy(x, g->normed, n * D * sizeof(float));
  }
  return 0;
}

/* x: B D, the hidden states behind the prompts, and no more than room afterwards; scratch for as many
 * rows as are `together`. Keys and values lie in the layers, with room for T tokens each. */
int responses(const Layer *layers, const Sizes *s, const Choice *how, const Responses *r, float *x,
              float *scratch) {
  int64_t together = how->together, half = s->size / 2;
  int64_t *whole = malloc((2 * s->rows + 3 * together) * sizeof(int64_t));
  float *parts = malloc(together * (s->hidden + 2 * half + 4 + how->vocabulary) * sizeof(float));
  int code = whole && parts ? 0 : NO_ROOM;
  Going g = {.n = s->rows, .row = whole, .x = x, .normed = parts, .layers = scratch};
  g.token = g.row + s->rows, g.drawn = g.token + s->rows;
  g.prompt = g.drawn + together, g.length = g.prompt + together;
  g.inverse = g.normed + together * s->hidden, g.cosine = g.inverse + together;
  g.sine = g.cosine + together * half, g.uniform = g.sine + together * half;
  g.logprob = g.uniform + together, g.entropy = g.logprob + together;
  g.logits = g.entropy + together;
  for (int64_t i = 0; !code && i < g.n; i++) g.row[i] = i;
  for (int64_t t = 0; !code && g.n; t++) {
    code = choose(&g, how, r, s, t);
    if (t + 1 == how->limit) break;
    if (!code) code = feed(&g, layers, s, how, r, t);
  }
  free(parts);
  free(whole);
  return code;
}
