/* The safetensors reader and writer. */
#include "scratch.h"

#include <stdbool.h>

#include "formats/safetensors.h"

/* A small file, byte for byte: 17 bytes of data behind a header of 27 * 8 bytes. */
#define SMALL_HEADER                                                                                                   \
    "{\"__metadata__\":{\"fovea.network\":\"input 2x1x1\\nlinear 10\\n\"},"                                            \
    "\"a\":{\"dtype\":\"F32\",\"shape\":[1,3],\"data_offsets\":[0,12]},"                                               \
    "\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[12,13]},"                                                  \
    "\"c\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[13,17]}}"
#define SMALL_DATA "\0\0\x80\x3f\0\0\0\xc0\0\0\0\x3f\x07\xff\xff\xff\xff"
enum { SMALL_HEADER_SIZE = 232, SMALL_DATA_SIZE = 17, SMALL_SIZE = 8 + SMALL_HEADER_SIZE + SMALL_DATA_SIZE };

static const float small_a[3] = {1.0f, -2.0f, 0.5f};
static const uint8_t small_b = 7;
static const int32_t small_c = -1;
static const fv_safetensor small_tensors[] = {
    {"a", FV_F32, {2, {1, 3}}, small_a},
    {"b", FV_U8, {0, {0}}, &small_b},
    {"c", FV_I32, {1, {1}}, &small_c},
};
static const fv_safetensors_text small_metadata[] = {{"fovea.network", "input 2x1x1\nlinear 10\n"}};

/* Fills `bytes` with length, header padded to `padded` bytes, and data. Returns the size of it all. */
static size_t compose(uint8_t *bytes, const char *header, size_t padded, const void *data, size_t data_size) {
    const size_t length = strlen(header);
    assert_true(padded >= length);
    memset(bytes, 0, 8);
    bytes[0] = (uint8_t)padded;
    bytes[1] = (uint8_t)(padded >> 8);
    memset(bytes + 8, ' ', padded);
    memcpy(bytes + 8, header, length);
    memcpy(bytes + 8 + padded, data, data_size);
    return 8 + padded + data_size;
}

static void compose_small(uint8_t bytes[SMALL_SIZE]) {
    assert_int_equal(compose(bytes, SMALL_HEADER, SMALL_HEADER_SIZE, SMALL_DATA, SMALL_DATA_SIZE), SMALL_SIZE);
}

static void expect_small(const char *path) {
    fv_safetensors file;
    const fv_status status = fv_safetensors_read(path, &file);
    if (status != FV_OK)
        fail_msg("%s", fv_error_message());
    assert_int_equal(file.tensor_count, 3);
    assert_int_equal(file.metadata_count, 1);
    assert_string_equal(fv_safetensors_metadata(&file, "fovea.network"), small_metadata[0].value);
    assert_null(fv_safetensors_metadata(&file, "a"));
    assert_null(fv_safetensors_find(&file, "fovea.network"));
    const fv_safetensor *a = fv_safetensors_find(&file, "a");
    const fv_safetensor *b = fv_safetensors_find(&file, "b");
    const fv_safetensor *c = fv_safetensors_find(&file, "c");
    assert_true(a && b && c);
    assert_int_equal(a->dtype, FV_F32);
    assert_int_equal(a->shape.rank, 2);
    assert_int_equal(a->shape.dim[0], 1);
    assert_int_equal(a->shape.dim[1], 3);
    assert_memory_equal(a->data, small_a, sizeof small_a);
    assert_int_equal(b->dtype, FV_U8);
    assert_int_equal(b->shape.rank, 0);
    assert_int_equal(*(const uint8_t *)b->data, 7);
    assert_int_equal(c->dtype, FV_I32);
    assert_int_equal(*(const int32_t *)c->data, -1); /* aligned, though it lies at an odd byte of the file */
    fv_safetensors_release(&file);
    assert_null(file.tensors);
    fv_safetensors_release(&file);
}

/* The writer's bytes are the format's, and the reader takes them. */
static void test_small_file(void **state) {
    (void)state;
    uint8_t expected[SMALL_SIZE];
    compose_small(expected);
    const scratch_name path = scratch_path("small");
    assert_int_equal(fv_safetensors_write(path.text, small_tensors, 3, small_metadata, 1), FV_OK);
    size_t count = 0;
    char *bytes = scratch_get(path.text, &count);
    assert_int_equal(count, SMALL_SIZE);
    assert_memory_equal(bytes, expected, SMALL_SIZE);
    free(bytes);
    expect_small(path.text);
}

/* Other writers order the header as they like; data order is what counts. */
static void test_any_order(void **state) {
    (void)state;
    static const char header[] = "{\"c\":{\"shape\":[1],\"data_offsets\":[13,17],\"dtype\":\"I32\"},"
                                 "\"a\":{\"data_offsets\":[0,12],\"dtype\":\"F32\",\"shape\":[1,3]},"
                                 "\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[12,13]},"
                                 "\"__metadata__\":{\"fovea.network\":\"input 2x1x1\\nlinear 10\\n\"}}";
    uint8_t bytes[1024];
    const size_t size = compose(bytes, header, strlen(header), SMALL_DATA, SMALL_DATA_SIZE);
    const scratch_name path = scratch_path("order");
    scratch_put(path.text, bytes, size);
    expect_small(path.text);
}

static void test_round_trip(void **state) {
    (void)state;
    enum { LARGE = 300 * 1000 };
    float *large = malloc(LARGE * sizeof *large);
    assert_non_null(large);
    for (int i = 0; i < LARGE; ++i)
        large[i] = (float)i * 0.25f;
    const double reals[2] = {1.0 / 3.0, -0.0};
    const fv_safetensor tensors[] = {
        {"conv1.weight", FV_F32, {4, {30, 10, 10, 100}}, large},
        {"empty", FV_F64, {3, {2, 0, 5}}, NULL},
        {"Größe \"x\"\\", FV_F64, {1, {2}}, reals},
        {"", FV_U8, {0, {0}}, &small_b},
    };
    const fv_safetensors_text metadata[] = {{"", ""}, {"format", "pt"}, {"unité", "ü\t\"\\"}};
    const scratch_name path = scratch_path("round");
    assert_int_equal(fv_safetensors_write(path.text, tensors, 4, metadata, 3), FV_OK);
    fv_safetensors file;
    assert_int_equal(fv_safetensors_read(path.text, &file), FV_OK);
    assert_int_equal(file.tensor_count, 4);
    assert_int_equal(file.metadata_count, 3);
    for (size_t i = 0; i < 4; ++i) {
        const fv_safetensor *got = fv_safetensors_find(&file, tensors[i].name);
        assert_non_null(got);
        assert_int_equal(got->dtype, tensors[i].dtype);
        assert_memory_equal(&got->shape, &tensors[i].shape, sizeof got->shape);
    }
    assert_memory_equal(fv_safetensors_find(&file, "conv1.weight")->data, large, LARGE * sizeof *large);
    assert_memory_equal(fv_safetensors_find(&file, tensors[2].name)->data, reals, sizeof reals);
    for (size_t i = 0; i < 3; ++i)
        assert_string_equal(fv_safetensors_metadata(&file, metadata[i].key), metadata[i].value);
    fv_safetensors_release(&file);
    free(large);

    assert_int_equal(fv_safetensors_write(path.text, NULL, 0, NULL, 0), FV_OK);
    assert_int_equal(fv_safetensors_read(path.text, &file), FV_OK);
    assert_int_equal(file.tensor_count, 0);
    assert_int_equal(file.metadata_count, 0);
    fv_safetensors_release(&file);
}

static void test_refused_writing(void **state) {
    (void)state;
    const scratch_name path = scratch_path("refused");
    scratch_put(path.text, "old", 3);
    const int entries = scratch_entries(scratch_folder);
    static const struct {
        fv_safetensor tensor;
        const char *words[2];
    } bad[] = {
        {{"a", FV_F32, {2, {1, 3}}, small_a}, {"\"a\"", "twice"}},
        {{"\xff", FV_F32, {2, {1, 3}}, small_a}, {"UTF-8"}},
        {{"__metadata__", FV_F32, {2, {1, 3}}, small_a}, {"__metadata__", "reserved"}},
        {{"x", (fv_dtype)77, {2, {1, 3}}, small_a}, {"\"x\"", "no such dtype: 77"}},
        {{"x", FV_F32, {FV_MAX_RANK + 1, {1, 3}}, small_a}, {"\"x\"", "rank 7, expected 0 to 6"}},
        {{"x", FV_F32, {-1, {1, 3}}, small_a}, {"\"x\"", "rank -1"}},
        {{"x", FV_F32, {2, {-1, 3}}, small_a}, {"\"x\"", "negative"}},
        {{"x", FV_F32, {2, {INT64_MAX / 2, 3}}, small_a}, {"\"x\"", "too large"}},
        {{"x", FV_U8, {1, {INT64_MAX - 11}}, small_a}, {"\"x\"", "too large"}}, /* behind 12 bytes of "a" */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        const fv_safetensor tensors[] = {small_tensors[0], bad[i].tensor};
        EXPECT_FAILURE(fv_safetensors_write(path.text, tensors, 2, NULL, 0), FV_BAD_INPUT, path.text, bad[i].words[0],
                       bad[i].words[1]);
    }
    const fv_safetensors_text twice[] = {{"key", "1"}, {"key", "2"}};
    EXPECT_FAILURE(fv_safetensors_write(path.text, NULL, 0, twice, 2), FV_BAD_INPUT, path.text, "\"key\"", "twice");
    const fv_safetensors_text bytes[] = {{"key", "\xc3("}};
    EXPECT_FAILURE(fv_safetensors_write(path.text, NULL, 0, bytes, 1), FV_BAD_INPUT, path.text, "\"key\"", "UTF-8");
    const scratch_name missing = scratch_path("missing/file");
    EXPECT_FAILURE(fv_safetensors_write(missing.text, small_tensors, 3, NULL, 0), FV_IO, missing.text, "No such file");
    scratch_expect_text(path.text, "old");
    assert_int_equal(scratch_entries(scratch_folder), entries);
}

#define TENSOR(dtype, shape, offsets)                                                                                  \
    "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(offsets_t, offsets_u)                                                                                      \
    "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" offsets_t "},"                                         \
    "\"u\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" offsets_u "}}"

/* Bad headers, each before so many bytes of data. */
static const struct {
    const char *header;
    size_t data;
    const char *words[3];
} bad_headers[] = {
    {" {}", 0, {"begins with byte 0x20", "expected '{'"}},
    {"[]", 0, {"begins with byte 0x5b", "expected '{'"}},
    {"{", 0, {"not valid JSON"}},
    {"{} {}", 0, {"not valid JSON", "end of file expected"}},
    {"{\"t\":\"\xff\"}", 0, {"not valid JSON"}},
    {"{\"t\":1,\"t\":1}", 0, {"not valid JSON", "duplicate object key"}},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[],\"shape\":[],\"data_offsets\":[0,4]}}", 4, {"duplicate object key"}},
    {"{\"__metadata__\":[]}", 0, {"__metadata__", "not an object"}},
    {"{\"__metadata__\":{\"k\":1}}", 0, {"__metadata__", "\"k\"", "not a text"}},
    {"{\"t\":3}", 0, {"\"t\"", "not an object", "expected"}},
    {"{\"two\\nlines\":3}", 0, {"\"two lines\"", "not an object"}},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, {"\"t\"", "a key is missing", "data_offsets"}},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":0}}", 4, {"\"t\"", "unknown key \"x\""}},
    {"{\"t\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,4]}}", 4, {"\"t\"", "dtype is not a text", "F32"}},
    {TENSOR("F8_E4M3", "[2]", "[0,2]"),
     2,
     {"\"t\"", "unknown dtype \"F8_E4M3\"", "expected F32, BF16, F16, F64, I32 or U8"}},
    {TENSOR("f32", "[1]", "[0,4]"), 4, {"\"t\"", "unknown dtype \"f32\""}},
    {TENSOR("F32", "1", "[0,4]"), 4, {"\"t\"", "shape is not a list"}},
    {TENSOR("F32", "[1,1,1,1,1,1,1]", "[0,4]"), 4, {"\"t\"", "rank 7", "at most 6"}},
    {TENSOR("F32", "[-1]", "[0,4]"), 4, {"\"t\"", "bad extent", "integers from 0 up"}},
    {TENSOR("F32", "[1.0]", "[0,4]"), 4, {"\"t\"", "bad extent", "integers from 0 up"}},
    {TENSOR("F32", "[\"1\"]", "[0,4]"), 4, {"\"t\"", "bad extent", "integers from 0 up"}},
    {TENSOR("F32", "[99999999999999999999]", "[0,4]"), 4, {"not valid JSON", "too big integer"}},
    {TENSOR("F32", "[4294967296,4294967296]", "[0,4]"), 4, {"\"t\"", "size overflow"}},
    {TENSOR("F32", "[4294967296,4294967295,0]", "[0,0]"), 0, {"\"t\"", "size overflow"}},
    {TENSOR("F32", "[1]", "4"), 4, {"\"t\"", "bad data_offsets", "two integers"}},
    {TENSOR("F32", "[1]", "[0]"), 4, {"\"t\"", "bad data_offsets", "two integers"}},
    {TENSOR("F32", "[1]", "[0,4,8]"), 8, {"\"t\"", "bad data_offsets", "two integers"}},
    {TENSOR("F32", "[1]", "[0.0,4]"), 4, {"\"t\"", "bad data_offsets", "two integers"}},
    {TENSOR("F32", "[1]", "[0,4e0]"), 4, {"\"t\"", "bad data_offsets", "two integers"}},
    {TENSOR("F32", "[1]", "[-4,0]"), 4, {"\"t\"", "bad data_offsets", "two integers"}},
    {TENSOR("F32", "[1]", "[4,0]"), 4, {"\"t\"", "bad data_offsets", "begin and end"}},
    {TENSOR("F32", "[2]", "[0,4]"), 4, {"\"t\"", "span 4 bytes", "expected 8"}},
    {TENSOR("F32", "[1]", "[0,8]"), 8, {"\"t\"", "span 8 bytes", "expected 4"}},
    {TENSOR("F32", "[2]", "[0,8]"), 7, {"\"t\"", "truncated", "at most 7"}},
    {TENSOR("U8", "[9000000000000]", "[0,9000000000000]"), 7, {"\"t\"", "truncated", "at most 7"}},
    {TENSOR("F32", "[1]", "[9223372036854775803,9223372036854775807]"), 4, {"\"t\"", "truncated", "at most 4"}},
    {TENSOR("F32", "[1]", "[1,5]"), 5, {"\"t\"", "after a hole", "expected 0"}},
    {TENSOR("F32", "[1]", "[0,4]"), 5, {"1 bytes of trailing data"}},
    {"{}", 1, {"1 bytes of trailing data"}},
    {TWO("[0,4]", "[0,4]"), 4, {"an overlap", "expected 4"}},
    {TWO("[0,4]", "[3,7]"), 7, {"\"u\"", "byte 3", "an overlap"}},
    {TWO("[4,8]", "[2,6]"), 8, {"\"u\"", "byte 2", "after a hole"}},
    {TWO("[5,9]", "[0,4]"), 9, {"\"t\"", "byte 5", "after a hole"}},
};

static void test_bad_headers(void **state) {
    (void)state;
    static const uint8_t data[16];
    fv_safetensors file;
    const scratch_name path = scratch_path("bad");
    for (size_t i = 0; i < sizeof bad_headers / sizeof bad_headers[0]; ++i) {
        uint8_t bytes[1024];
        const char *header = bad_headers[i].header;
        const size_t size = compose(bytes, header, strlen(header), data, bad_headers[i].data);
        scratch_put(path.text, bytes, size);
        EXPECT_FAILURE(fv_safetensors_read(path.text, &file), FV_BAD_INPUT, path.text, bad_headers[i].words[0],
                       bad_headers[i].words[1], bad_headers[i].words[2]);
        assert_null(file.tensors);
    }
}

static const struct {
    const char *bytes;
    size_t count;
    const char *words[2];
} bad_files[] = {
    {"", 0, {"truncated: 0 bytes", "first 8"}},
    {"\x02\0\0\0\0\0\0", 7, {"truncated: 7 bytes", "first 8"}},
    {"\0\0\0\0\0\0\0\0", 8, {"header length 0", "expected 1 to 100000000"}},
    {"\x01\xe1\xf5\x05\0\0\0\0{}", 10, {"header length 100000001", "expected 1 to 100000000"}},
    {"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, {"header length 18446744073709551615"}},
    {"\0\xe1\xf5\x05\0\0\0\0{}", 10, {"truncated: header length 100000000", "2 bytes"}},
    {"\x03\0\0\0\0\0\0\0{}", 10, {"truncated: header length 3", "2 bytes"}},
    {"<!DOCTYPE html><html></html>", 28, {"not a safetensors file"}},
};

static void test_bad_files(void **state) {
    (void)state;
    fv_safetensors file;
    scratch_name path = scratch_path("bad");
    scratch_limit_memory();
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; ++i) {
        scratch_put(path.text, bad_files[i].bytes, bad_files[i].count);
        EXPECT_FAILURE(fv_safetensors_read(path.text, &file), FV_BAD_INPUT, path.text, bad_files[i].words[0],
                       bad_files[i].words[1]);
    }
    scratch_unlimit_memory();
    path = scratch_path("missing");
    EXPECT_FAILURE(fv_safetensors_read(path.text, &file), FV_BAD_INPUT, path.text, "No such file");
    EXPECT_FAILURE(fv_safetensors_read(scratch_folder, &file), FV_BAD_INPUT, scratch_folder, "directory");
}

/* Reads what may be damaged; true if it was taken. Every byte that the result claims to have is touched. */
static bool read_damaged(const char *path) {
    fv_safetensors file;
    const fv_status status = fv_safetensors_read(path, &file);
    if (status != FV_OK) {
        EXPECT_FAILURE(status, FV_BAD_INPUT, path);
        return false;
    }
    size_t bytes = 0;
    for (size_t i = 0; i < file.tensor_count; ++i) {
        const fv_safetensor *tensor = &file.tensors[i];
        size_t size = fv_dtype_size(tensor->dtype);
        for (int d = 0; d < tensor->shape.rank; ++d)
            size *= (size_t)tensor->shape.dim[d];
        void *copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy, tensor->data, size);
        free(copy);
        bytes += size;
    }
    assert_int_equal(bytes, SMALL_DATA_SIZE);
    fv_safetensors_release(&file);
    return true;
}

static void test_damaged_files(void **state) {
    (void)state;
    uint8_t bytes[SMALL_SIZE];
    compose_small(bytes);
    const scratch_name path = scratch_path("damaged");
    scratch_limit_memory();
    for (size_t cut = 0; cut < SMALL_SIZE; ++cut) {
        scratch_put(path.text, bytes, cut);
        assert_false(read_damaged(path.text));
    }
    scratch_put(path.text, bytes, SMALL_SIZE);
    for (size_t at = 0; at < SMALL_SIZE; ++at) {
        for (unsigned change = 1; change < 256; ++change) {
            scratch_poke(path.text, at, (uint8_t)(bytes[at] ^ change));
            const bool taken = read_damaged(path.text);
            if (at < 8)
                assert_false(taken);
            if (at >= 8 + SMALL_HEADER_SIZE)
                assert_true(taken); /* the format has no checksum */
        }
        scratch_poke(path.text, at, bytes[at]);
    }
    assert_true(read_damaged(path.text));
    scratch_unlimit_memory();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_file),      cmocka_unit_test(test_any_order),   cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused_writing), cmocka_unit_test(test_bad_headers), cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_damaged_files),
    };
    return cmocka_run_group_tests_name("safetensors", tests, scratch_create, scratch_remove);
}
