/* 16 bytes of a body at once: which of them stop a run? SSE2, NEON and plain C behind the same functions.
 *
 *   headrace_mask           one bit (SSE2), 4 bits (NEON) or 8 bits (plain C, 8 bytes at once) per byte,
 *                           the first byte in the lowest bits; 0: no byte stops the run
 *   headrace_first(mask)    index of the first byte that stops; mask is not 0
 *   headrace_specials(at)   bytes that end an ordinary run within a string: " \ below 0x20, from 0x80 on
 *   headrace_highs(at)      bytes from 0x80 on
 *   headrace_blacks(at)     bytes that are not JSON white space (RFC 8259 section 2)
 *   HEADRACE_STEP           how many bytes one call looks at; the caller sees to it that they are there
 *
 * No function reads beyond at + HEADRACE_STEP; none needs alignment. HEADRACE_SCAN_PLAIN forces plain C.
 */
#ifndef HEADRACE_SCAN_SIMD_H
#define HEADRACE_SCAN_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define headrace_likely(condition) __builtin_expect(!!(condition), 1)
#else
#define headrace_likely(condition) (condition)
#endif

#if !defined(HEADRACE_SCAN_PLAIN) && defined(__SSE2__)

#include <emmintrin.h>

#define HEADRACE_SCAN_WAY "sse2"
#define HEADRACE_STEP 16
typedef uint32_t headrace_mask;

static inline int headrace_first(headrace_mask mask) {
    return __builtin_ctz(mask);
}

static inline __m128i headrace_load(const unsigned char *at) {
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static inline headrace_mask headrace_specials(const unsigned char *at) {
    __m128i bytes = headrace_load(at);
    __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    __m128i slashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    /* The comparison is signed: from 0x80 on bytes are negative, so they are below 0x20 as well. */
    __m128i controls = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
    return (headrace_mask)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, slashes), controls));
}

static inline headrace_mask headrace_highs(const unsigned char *at) {
    return (headrace_mask)_mm_movemask_epi8(headrace_load(at));
}

static inline headrace_mask headrace_blacks(const unsigned char *at) {
    __m128i bytes = headrace_load(at);
    __m128i blanks = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(' ')),
                                  _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n')));
    __m128i others = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')),
                                  _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r')));
    return (headrace_mask)_mm_movemask_epi8(_mm_or_si128(blanks, others)) ^ 0xFFFFu;
}

#elif !defined(HEADRACE_SCAN_PLAIN) && defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

#define HEADRACE_SCAN_WAY "neon"
#define HEADRACE_STEP 16
typedef uint64_t headrace_mask;

static inline int headrace_first(headrace_mask mask) {
    return __builtin_ctzll(mask) >> 2;
}

/* Bytes of 0x00 or 0xFF to 4 bits each: NEON has no movemask, narrowing by a shift serves. */
static inline headrace_mask headrace_narrowed(uint8x16_t bytes) {
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(bytes), 4)), 0);
}

static inline headrace_mask headrace_specials(const unsigned char *at) {
    uint8x16_t bytes = vld1q_u8(at);
    uint8x16_t quotes = vceqq_u8(bytes, vdupq_n_u8('"'));
    uint8x16_t slashes = vceqq_u8(bytes, vdupq_n_u8('\\'));
    /* The comparison is signed: from 0x80 on bytes are negative, so they are below 0x20 as well. */
    uint8x16_t controls = vcltq_s8(vreinterpretq_s8_u8(bytes), vdupq_n_s8(0x20));
    return headrace_narrowed(vorrq_u8(vorrq_u8(quotes, slashes), controls));
}

static inline headrace_mask headrace_highs(const unsigned char *at) {
    return headrace_narrowed(vcgeq_u8(vld1q_u8(at), vdupq_n_u8(0x80)));
}

static inline headrace_mask headrace_blacks(const unsigned char *at) {
    uint8x16_t bytes = vld1q_u8(at);
    uint8x16_t blanks = vorrq_u8(vceqq_u8(bytes, vdupq_n_u8(' ')), vceqq_u8(bytes, vdupq_n_u8('\n')));
    uint8x16_t others = vorrq_u8(vceqq_u8(bytes, vdupq_n_u8('\t')), vceqq_u8(bytes, vdupq_n_u8('\r')));
    return headrace_narrowed(vmvnq_u8(vorrq_u8(blanks, others)));
}

#else

#define HEADRACE_SCAN_WAY "plain"
#define HEADRACE_STEP 8
typedef uint64_t headrace_mask;

#define HEADRACE_LOWS 0x7F7F7F7F7F7F7F7Full
#define HEADRACE_TOPS 0x8080808080808080ull

static inline int headrace_first(headrace_mask mask) {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_ctzll(mask) >> 3;
#else
    int index = 0;
    while (!(mask & 0xFF)) {
        mask >>= 8;
        index++;
    }
    return index;
#endif
}

/* The first byte lands in the lowest bits whatever the byte order of the machine is. */
static inline uint64_t headrace_load(const unsigned char *at) {
    uint64_t word = 0;
    for (int index = 0; index < 8; index++)
        word |= (uint64_t)at[index] << (8 * index);
    return word;
}

/* The top bit of each byte that equals `byte`; exact, for no sum carries into the next byte. */
static inline uint64_t headrace_equal(uint64_t word, unsigned char byte) {
    uint64_t apart = word ^ (0x0101010101010101ull * byte);
    return ~(((apart & HEADRACE_LOWS) + HEADRACE_LOWS) | apart) & HEADRACE_TOPS;
}

static inline headrace_mask headrace_specials(const unsigned char *at) {
    uint64_t word = headrace_load(at);
    uint64_t from_space = (word & HEADRACE_LOWS) + 0x6060606060606060ull;
    return headrace_equal(word, '"') | headrace_equal(word, '\\') | ((~from_space | word) & HEADRACE_TOPS);
}

static inline headrace_mask headrace_highs(const unsigned char *at) {
    return headrace_load(at) & HEADRACE_TOPS;
}

static inline headrace_mask headrace_blacks(const unsigned char *at) {
    uint64_t word = headrace_load(at);
    uint64_t blanks = headrace_equal(word, ' ') | headrace_equal(word, '\n');
    return (blanks | headrace_equal(word, '\t') | headrace_equal(word, '\r')) ^ HEADRACE_TOPS;
}

#endif
#endif
