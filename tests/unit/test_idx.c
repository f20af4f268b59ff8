/* Data files: IDX raw and gzip, the pairing of images with labels, and the real MNIST. */
#include "scratch.h"

#include <fovea/data.h>
#include <stdbool.h>
#include <zlib.h>

#include "data/idx.h"

/* Two images of 2x3: a 16-byte header and 12 bytes. */
#define IMAGES_HEADER "\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x03"
#define PIXELS "abcdefghijkl"
static const char good_images[] = IMAGES_HEADER PIXELS;
enum { IMAGES_SIZE = sizeof good_images - 1 };

static const char good_labels[] = "\0\0\x08\x01\0\0\0\x02\x05\x09";
enum { LABELS_SIZE = sizeof good_labels - 1 };

enum { PACKED_ROOM = 4096 };

/* Packs as gzip does; returns the packed size. */
static size_t pack(const void *bytes, size_t count, uint8_t packed[PACKED_ROOM]) {
    z_stream stream;
    memset(&stream, 0, sizeof stream);
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    Bytef empty = 0;
    stream.next_in = count > 0 ? (z_const Bytef *)bytes : &empty;
    stream.avail_in = (uInt)count;
    stream.next_out = packed;
    stream.avail_out = PACKED_ROOM;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(deflateEnd(&stream), Z_OK);
    return stream.total_out;
}

static scratch_name put(const char *name, const void *bytes, size_t count) {
    const scratch_name path = scratch_path(name);
    scratch_put(path.text, bytes, count);
    return path;
}

static scratch_name put_packed(const char *name, const void *bytes, size_t count) {
    uint8_t packed[PACKED_ROOM];
    const size_t size = pack(bytes, count, packed);
    return put(name, packed, size);
}

static void expect_good_images(const char *path) {
    fv_idx idx;
    const fv_status status = fv_idx_read(path, 3, &idx);
    if (status != FV_OK)
        fail_msg("%s", fv_error_message());
    assert_int_equal(idx.dim[0], 2);
    assert_int_equal(idx.dim[1], 2);
    assert_int_equal(idx.dim[2], 3);
    assert_memory_equal(idx.data, PIXELS, strlen(PIXELS));
    free(idx.data);
}

/* The content decides what a file is, not its name. */
static void test_good_files(void **state) {
    (void)state;
    expect_good_images(put("raw", good_images, IMAGES_SIZE).text);
    expect_good_images(put("raw.gz", good_images, IMAGES_SIZE).text);
    expect_good_images(put_packed("packed", good_images, IMAGES_SIZE).text);
    expect_good_images(put_packed("packed.gz", good_images, IMAGES_SIZE).text);

    uint8_t members[2 * PACKED_ROOM];
    size_t size = pack(good_images, 20, members);
    size += pack(good_images + 20, IMAGES_SIZE - 20, members + size);
    size += pack("", 0, members + size);
    expect_good_images(put("members.gz", members, size).text);
}

/* More than the reader's buffer, and more than what deflate's window holds. */
static void test_large_file(void **state) {
    (void)state;
    enum { IMAGES = 1000, ELEMENTS = 40 * 50, BYTES = IMAGES * ELEMENTS };
    static const uint8_t header[16] = {0, 0, 8, 3, 0, 0, IMAGES >> 8, IMAGES & 255, 0, 0, 0, 40, 0, 0, 0, 50};
    uint8_t *bytes = malloc(sizeof header + BYTES);
    assert_non_null(bytes);
    memcpy(bytes, header, sizeof header);
    uint32_t noise = 1;
    for (size_t i = 0; i < BYTES; ++i) {
        noise = noise * 1664525u + 1013904223u;
        bytes[sizeof header + i] = (uint8_t)(noise >> 24);
    }
    const scratch_name raw = put("large", bytes, sizeof header + BYTES);
    const scratch_name packed = scratch_path("large.gz");
    gzFile file = gzopen(packed.text, "wb1");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, sizeof header + BYTES), sizeof header + BYTES);
    assert_int_equal(gzclose(file), Z_OK);
    const char *const paths[] = {raw.text, packed.text};
    for (int i = 0; i < 2; ++i) {
        fv_idx idx;
        assert_int_equal(fv_idx_read(paths[i], 3, &idx), FV_OK);
        assert_int_equal(idx.dim[0], IMAGES);
        assert_memory_equal(idx.data, bytes + sizeof header, BYTES);
        free(idx.data);
    }
    free(bytes);
}

typedef struct bad_file {
    const char *bytes;
    size_t count;
    const char *words[3];
} bad_file;

#define BYTES(literal) literal, sizeof literal - 1

/* Files that are bad whether packed or not. */
static const bad_file bad_contents[] = {
    {BYTES("<!DOCTYPE html>\n<html></html>"), {"HTML page"}},
    {BYTES("<html>"), {"HTML page"}},
    {BYTES("\xef\xbb\xbf\r\n <?xml version=\"1.0\"?>"), {"HTML page"}},
    {BYTES("<>"), {"truncated", "2 of the 16 bytes"}},
    {BYTES("PK\x03\x04 some other archive"), {"magic number 504b0304", "expected 00000803"}},
    {BYTES("\0\x01\x08\x03\0\0\0\x01"), {"magic number 00010803"}},
    {BYTES("\x03\x08\0\0\x02\0\0\0\x02\0\0\0\x03\0\0\0"), {"magic number 03080000"}},
    {BYTES("\0\0\x0d\x03\0\0\0\x02\0\0\0\x02\0\0\0\x03"), {"data type 0x0d", "32-bit float", "0x08 (unsigned byte)"}},
    {BYTES("\0\0\x00\x03\0\0\0\x02\0\0\0\x02\0\0\0\x03"), {"data type 0x00", "unknown"}},
    {good_labels, LABELS_SIZE, {"rank 1", "expected 3"}},
    {BYTES("\0\0\x08\xff\0\0\0\x02"), {"rank 255", "expected 3"}},
    {BYTES("\0"), {"truncated", "1 of the 16 bytes", "header"}},
    {BYTES("\0\0\x08"), {"truncated", "3 of the 16 bytes", "header"}},
    {good_images, 15, {"truncated", "15 of the 16 bytes", "header"}},
    {good_images, 16, {"truncated", "16 of the 28 bytes"}},
    {good_images, 27, {"truncated", "27 of the 28 bytes"}},
    {BYTES("\0\0\x08\x03\0\0\0\0\0\0\0\x02\0\0\0\x03"), {"dimension 1 of 3 is 0", "expected at least 1"}},
    {BYTES("\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\0"), {"dimension 3 of 3 is 0", "expected at least 1"}},
    {BYTES("\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01"), {"size overflow"}},
    {BYTES("\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), {"size overflow"}},
    {BYTES("\0\0\x08\x03\x5b\x58\xb7\xbf\x33\x3e\xf7\xf7\0\0\0\x07"),
     {"size overflow", "header"}}, /* 2^63 - 1 bytes and the header */
    {BYTES("\0\0\x08\x03\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01"), {"9223372030412324881 bytes"}},
    {BYTES("\0\0\x08\x03\0\x01\0\0\0\x01\0\0\0\0\x01\0"), {"1099511627792 bytes"}},
};

static void expect_bad(const char *path, const bad_file *file) {
    fv_idx idx;
    EXPECT_FAILURE(fv_idx_read(path, 3, &idx), FV_BAD_INPUT, path, file->words[0], file->words[1], file->words[2]);
    assert_null(idx.data);
}

static void test_bad_contents(void **state) {
    (void)state;
    scratch_limit_memory();
    for (size_t i = 0; i < sizeof bad_contents / sizeof bad_contents[0]; ++i) {
        const bad_file *file = &bad_contents[i];
        expect_bad(put("bad", file->bytes, file->count).text, file);
        expect_bad(put("bad.gz", file->bytes, file->count).text, file);
        expect_bad(put_packed("bad", file->bytes, file->count).text, file);
        expect_bad(put_packed("bad.gz", file->bytes, file->count).text, file);
    }
    scratch_unlimit_memory();
}

/* What only a raw or only a gzip file can have. */
static void test_bad_files(void **state) {
    (void)state;
    fv_idx idx;
    scratch_name path = put("empty", "", 0);
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "empty file", "expected an IDX file");
    path = put_packed("nothing.gz", "", 0);
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "truncated", "0 of the 16 bytes");
    path = scratch_path("missing");
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "No such file");
    EXPECT_FAILURE(fv_idx_read(scratch_folder, 3, &idx), FV_BAD_INPUT, scratch_folder, "directory", "expected a file");

    const char longer[] = IMAGES_HEADER PIXELS "xyz";
    path = put("longer", longer, sizeof longer - 1);
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "3 bytes of trailing data", "28");
    path = put_packed("longer.gz", longer, sizeof longer - 1);
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "trailing data", "28 bytes");

    uint8_t packed[PACKED_ROOM + 1];
    const size_t size = pack(good_images, IMAGES_SIZE, packed);
    packed[size] = 0;
    path = put("garbage.gz", packed, size + 1);
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "ends within a gzip member");
    path = put("cut.gz", packed, size - 1);
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "truncated", "ends within a gzip member");
    packed[size - 1] ^= 1; /* the last byte of the length */
    path = put("length.gz", packed, size);
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "corrupt gzip", "incorrect length check");
    packed[size - 1] ^= 1;
    packed[size - 5] ^= 1; /* the last byte of the checksum */
    path = put("checksum.gz", packed, size);
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "corrupt gzip", "incorrect data check");
    packed[2] = 0; /* the method */
    path = put("method.gz", packed, size);
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "corrupt gzip", "compression method");
}

/* A file that unpacks to much more than its header says, and one whose header says more than it could hold. */
static void test_bombs(void **state) {
    (void)state;
    enum { BYTES_OF_ZEROS = 3 * 1000 * 1000 };
    uint8_t *bytes = calloc(1, BYTES_OF_ZEROS);
    assert_non_null(bytes);
    memcpy(bytes, IMAGES_HEADER, 16);
    scratch_name path = put_packed("bomb.gz", bytes, BYTES_OF_ZEROS);
    fv_idx idx;
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "trailing data", "28 bytes");
    memset(bytes + 4, 0x7f, 4);
    path = put_packed("bomb.gz", bytes, BYTES_OF_ZEROS);
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "more than a gzip file", "can hold");

    /* What deflate packs tightest still passes the check of sizes. */
    static const uint8_t header[16] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0x07, 0xd0, 0, 0, 0x05, 0xdc}; /* 1x2000x1500 */
    uint8_t *zeros = calloc(1, sizeof header + BYTES_OF_ZEROS);
    assert_non_null(zeros);
    memcpy(zeros, header, sizeof header);
    path = put_packed("zeros.gz", zeros, sizeof header + BYTES_OF_ZEROS);
    assert_int_equal(fv_idx_read(path.text, 3, &idx), FV_OK);
    assert_memory_equal(idx.data, zeros + sizeof header, BYTES_OF_ZEROS);
    free(idx.data);
    path = put_packed("few.gz", zeros, 1000);
    EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text, "more than a gzip file", "can hold");
    free(zeros);
    free(bytes);
}

/* Every beginning of a file is refused. Every change of one of its bytes is refused or read right: in a raw file the
 * changed byte is a pixel; in a gzip file nothing has changed, for its checksum covers all. */
static void damage(const uint8_t *bytes, size_t count, bool gzip) {
    fv_idx idx;
    for (size_t cut = 0; cut < count; ++cut) {
        const scratch_name path = put("damaged", bytes, cut);
        EXPECT_FAILURE(fv_idx_read(path.text, 3, &idx), FV_BAD_INPUT, path.text);
    }
    const scratch_name path = put("damaged", bytes, count);
    for (size_t at = 0; at < count; ++at) {
        for (unsigned change = 1; change < 256; ++change) {
            const uint8_t changed = (uint8_t)(bytes[at] ^ change);
            scratch_poke(path.text, at, changed);
            const fv_status status = fv_idx_read(path.text, 3, &idx);
            if (status != FV_OK) {
                EXPECT_FAILURE(status, FV_BAD_INPUT, path.text);
                continue;
            }
            assert_int_equal(idx.dim[0] * idx.dim[1] * idx.dim[2], strlen(PIXELS));
            uint8_t expected[] = PIXELS;
            if (!gzip) {
                assert_in_range(at, 16, IMAGES_SIZE - 1);
                expected[at - 16] = changed;
            }
            assert_memory_equal(idx.data, expected, strlen(PIXELS));
            free(idx.data);
        }
        scratch_poke(path.text, at, bytes[at]);
    }
    expect_good_images(path.text);
}

static void test_damaged_files(void **state) {
    (void)state;
    scratch_limit_memory();
    damage((const uint8_t *)good_images, IMAGES_SIZE, false);
    uint8_t packed[PACKED_ROOM];
    const size_t size = pack(good_images, IMAGES_SIZE, packed);
    damage(packed, size, true);
    scratch_unlimit_memory();
}

static void test_dataset(void **state) {
    (void)state;
    const scratch_name images = put_packed("images.gz", good_images, IMAGES_SIZE);
    const scratch_name labels = put("labels", good_labels, LABELS_SIZE);
    fv_dataset set;
    assert_int_equal(fv_dataset_read_idx(images.text, labels.text, 10, &set), FV_OK);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.height, 2);
    assert_int_equal(set.width, 3);
    assert_int_equal(set.channels, 1);
    assert_int_equal(set.classes, 10);
    assert_memory_equal(set.images, PIXELS, strlen(PIXELS));
    assert_int_equal(set.labels[0], 5);
    assert_int_equal(set.labels[1], 9);
    fv_dataset_release(&set);
    assert_null(set.images);
    assert_int_equal(set.count, 0);
    fv_dataset_release(&set);
}

static void test_bad_pairs(void **state) {
    (void)state;
    const scratch_name images = put("images", good_images, IMAGES_SIZE);
    const scratch_name labels = put("labels", good_labels, LABELS_SIZE);
    const scratch_name three = put("three", BYTES("\0\0\x08\x01\0\0\0\x03\0\0\0"));
    const scratch_name missing = scratch_path("missing");
    fv_dataset set;
    EXPECT_FAILURE(fv_dataset_read_idx(images.text, three.text, 10, &set), FV_BAD_INPUT, three.text, images.text,
                   "3 labels", "expected 2");
    EXPECT_FAILURE(fv_dataset_read_idx(images.text, labels.text, 9, &set), FV_BAD_INPUT, labels.text, "index 1", "is 9",
                   "expected less than 9");
    EXPECT_FAILURE(fv_dataset_read_idx(labels.text, images.text, 10, &set), FV_BAD_INPUT, labels.text, "rank 1",
                   "expected 3");
    EXPECT_FAILURE(fv_dataset_read_idx(images.text, images.text, 10, &set), FV_BAD_INPUT, images.text, "rank 3",
                   "expected 1");
    EXPECT_FAILURE(fv_dataset_read_idx(images.text, missing.text, 10, &set), FV_BAD_INPUT, missing.text,
                   "No such file");
    EXPECT_FAILURE(fv_dataset_read_idx(images.text, labels.text, 0, &set), FV_BAD_INPUT, "classes=0", "1 to 256");
    EXPECT_FAILURE(fv_dataset_read_idx(images.text, labels.text, 257, &set), FV_BAD_INPUT, "classes=257", "1 to 256");
    assert_null(set.images);
    assert_null(set.labels);
}

static void test_mnist_folder(void **state) {
    (void)state;
    const scratch_name folder = scratch_path("mnist");
    fv_dataset set;
    EXPECT_FAILURE(fv_dataset_read_mnist(folder.text, FV_TRAIN, &set), FV_BAD_INPUT, folder.text, "no such folder");
    assert_int_equal(mkdir(folder.text, 0777), 0);
    EXPECT_FAILURE(fv_dataset_read_mnist(folder.text, FV_TEST, &set), FV_BAD_INPUT, folder.text,
                   "no t10k-images-idx3-ubyte", "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                   "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte");
    put_packed("mnist/t10k-images-idx3-ubyte.gz", good_images, IMAGES_SIZE);
    EXPECT_FAILURE(fv_dataset_read_mnist(folder.text, FV_TEST, &set), FV_BAD_INPUT, folder.text,
                   "no t10k-labels-idx1-ubyte");
    put("mnist/t10k-labels-idx1-ubyte", good_labels, LABELS_SIZE);
    assert_int_equal(fv_dataset_read_mnist(folder.text, FV_TEST, &set), FV_OK);
    assert_int_equal(set.count, 2);
    fv_dataset_release(&set);
    EXPECT_FAILURE(fv_dataset_read_mnist(folder.text, FV_TRAIN, &set), FV_BAD_INPUT, folder.text,
                   "no train-images-idx3-ubyte");
}

static void expect_mnist(fv_split split, int64_t count, const int64_t histogram[10], int first_label) {
    fv_dataset set;
    const fv_status status = fv_dataset_read_mnist(FV_TEST_DATA_DIR, split, &set);
    if (status != FV_OK)
        fail_msg("%s", fv_error_message());
    assert_int_equal(set.count, count);
    assert_int_equal(set.height, 28);
    assert_int_equal(set.width, 28);
    assert_int_equal(set.channels, 1);
    assert_int_equal(set.classes, 10);
    int64_t counted[10] = {0};
    for (int64_t i = 0; i < set.count; ++i)
        ++counted[set.labels[i]];
    assert_memory_equal(counted, histogram, sizeof counted);
    assert_int_equal(set.labels[0], first_label);
    fv_dataset_release(&set);
}

static void test_real_mnist(void **state) {
    (void)state;
    static const int64_t train[10] = {5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949};
    static const int64_t test[10] = {980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009};
    expect_mnist(FV_TRAIN, 60000, train, 5);
    expect_mnist(FV_TEST, 10000, test, 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files), cmocka_unit_test(test_large_file), cmocka_unit_test(test_bad_contents),
        cmocka_unit_test(test_bad_files),  cmocka_unit_test(test_bombs),      cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_dataset),    cmocka_unit_test(test_bad_pairs),  cmocka_unit_test(test_mnist_folder),
        cmocka_unit_test(test_real_mnist),
    };
    return cmocka_run_group_tests_name("idx", tests, scratch_create, scratch_remove);
}
