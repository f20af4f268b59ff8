/* MIOpenDriver's commands, against operations written out by hand from MIOpen's documentation. */
#include "dialects.h"

/* Commands from MIOpen's manual, its logs and its performance models. */
static void miopen_commands(void **state) {
    (void)state;
    static const pair pairs[] = {
        {"./bin/MIOpenDriver conv",
         "FDW conv2d n=100 c=3 h=32 w=32 k=32 kernel=3x3 stride=1 pad=0 dilation=1 groups=1 bias=0"},
        {"./bin/MIOpenDriver convbfp16 -n 2 -W 4 -H 4 -c 3 -k 2 -p 0 -q 0 -F 1",
         "F conv2d n=2 c=3 h=4 w=4 k=2 kernel=3x3 stride=1 pad=0 dilation=1 groups=1 bias=0"},
        {"./bin/MIOpenDriver convfp16 -n 2 -W 4 -H 4 -c 3 -k 2 -p 0 -q 0 -F 2",
         "D conv2d n=2 c=3 h=4 w=4 k=2 kernel=3x3 stride=1 pad=0 dilation=1 groups=1 bias=0"},
        {"./bin/MIOpenDriver conv -W 32 -H 32 -c 3 -k 32 -x 5 -y 5 -p 2 -q 2 -s 0 -F 1",
         "F conv2d n=100 c=3 h=32 w=32 k=32 kernel=5x5 stride=1 pad=2 dilation=1 groups=1 bias=0"},
        {"MIOpen(HIP): Command [LogCmdConvolution] ./bin/MIOpenDriver conv -n 128 -c 3 -H 32 -W 32 -k 64 -y 3 -x 3 -p "
         "1 "
         "-q 1 -u 1 -v 1 -l 1 -j 1 -m conv -g 1 -F 1 -t 1",
         "F conv2d n=128 c=3 h=32 w=32 k=64 kernel=3x3 stride=1 pad=1 dilation=1 groups=1 bias=0"},
        {"./bin/MIOpenDriver conv --batchsize 4 --spatial_dim 2 --pad_h 2 --pad_w 2 --pad_d 0 --conv_stride_h 4 "
         "--conv_stride_w 4 --conv_stride_d 0 --dilation_h 1 --dilation_w 1 --dilation_d 0 --group_count 1 --mode conv "
         "--pad_mode default --trans_output_pad_h 0 --trans_output_pad_w 0 --trans_output_pad_d 0 --out_layout NCHW "
         "--in_d 1 --in_h 224 --in_w 224 --fil_d 1 --fil_h 11 --fil_w 11 --in_channels 3 --out_channels 64 --forw 4",
         "W conv2d n=4 c=3 h=224 w=224 k=64 kernel=11x11 stride=4 pad=2 dilation=1 groups=1 bias=0"},
        /* height before width in each pair of letters; several groups; a bias; sums of -F */
        {"MIOpenDriver conv -n 1 -c 4 -H 9 -W 8 -k 6 -y 3 -x 2 -p 1 -q 0 -u 2 -v 1 -l 3 -j 4 -g 2 -b 1 -F 6 -S -1 -V 0",
         "DW conv2d n=1 c=4 h=9 w=8 k=6 kernel=3x2 stride=2x1 pad=1x0 dilation=3x4 groups=2 bias=1"},
        /* half of what overhangs; nothing of -p; neither if dilated */
        {"MIOpenDriver conv -n 1 -c 2 -H 8 -W 7 -k 3 -y 4 -x 3 -u 1 -v 2 -z same -F 1",
         "F conv2d n=1 c=2 h=8 w=7 k=3 kernel=4x3 stride=1x2 pad=1 dilation=1 groups=1 bias=0"},
        {"MIOpenDriver conv -n 1 -c 2 -H 8 -W 8 -k 3 -p 1 -q 1 -z valid -F 1",
         "F conv2d n=1 c=2 h=8 w=8 k=3 kernel=3x3 stride=1 pad=0 dilation=1 groups=1 bias=0"},
        {"MIOpenDriver conv -n 1 -c 2 -H 8 -W 8 -k 3 -l 2 -p 1 -q 1 -z valid -F 1",
         "F conv2d n=1 c=2 h=8 w=8 k=3 kernel=3x3 stride=1 pad=1 dilation=2x1 groups=1 bias=0"},
        /* -c and -k are what goes in and comes out of a transposed convolution, too */
        {"MIOpenDriver conv -m trans -n 2 -c 4 -H 5 -W 6 -k 8 -y 3 -x 4 -p 1 -q 0 -u 2 -v 3 -Y 1 -X 2 -g 2 -F 3",
         "FD conv2d_transposed n=2 c=4 h=5 w=6 k=8 kernel=3x4 stride=2x3 pad=1x0 dilation=1 output_pad=1x2 groups=2 "
         "bias=0"},
        {"MIOpenDriver conv -m trans -n 1 -l 2 -j 2 -b 1 -F 4",
         "W conv2d_transposed n=1 c=3 h=32 w=32 k=32 kernel=3x3 stride=1 pad=0 dilation=2 output_pad=0 groups=1 "
         "bias=1"},
        /* output padding means nothing to others */
        {"MIOpenDriver conv -n 1 -Y 1 -X 1 -F 1",
         "F conv2d n=1 c=3 h=32 w=32 k=32 kernel=3x3 stride=1 pad=0 dilation=1 groups=1 bias=0"},
        /* averages over the image's own pixels, and over padding too */
        {"MIOpenDriver pool -m avg -W 1x1x4x4 -y 2 -x 2 -p 1 -q 0 -F 1",
         "F avgpool n=1 c=1 h=4 w=4 kernel=2x2 stride=1 pad=1x0 dilation=1 ceil=0 include_pad=0"},
        {"MIOpenDriver pool -m avg_in -W 1x1x7x7 -v 2 -u 2 -z same -O 1x1x4x4 -F 2",
         "D avgpool n=1 c=1 h=7 w=7 kernel=3x3 stride=2 pad=0,2,0,2 dilation=1 ceil=0 include_pad=1"},
        {"./bin/MIOpenDriver pool", "FD maxpool n=100 c=3 h=32 w=32 kernel=3x3 stride=1 pad=0 dilation=1 ceil=0"},
        {"MIOpenDriver pool -W 1x1x4x4 -y 2 -x 2 -p 0 -q 0 -F 1 -V 0",
         "F maxpool n=1 c=1 h=4 w=4 kernel=2x2 stride=1 pad=0 dilation=1 ceil=0"},
        /* -v is the vertical stride here */
        {"MIOpenDriver pool --input 2x3x9x7,NHWC -y 3 -x 2 -v 2 -u 1 -p 1 -q 0 -O 2x3x5x6 -H 2x3x5x6 -F 2",
         "D maxpool n=2 c=3 h=9 w=7 kernel=3x2 stride=2x1 pad=1x0 dilation=1 ceil=0"},
        /* as it was until 2021 */
        {"MIOpenDriver pool -F 1  -m max -x  3 -y  3 -p  0 -q  0 -u  2 -v  2  -c  64 -H  512 -W  1024",
         "F maxpool n=100 c=64 h=512 w=1024 kernel=3x3 stride=2 pad=0 dilation=1 ceil=0"},
        /* four outputs of seven pixels: 3*2 + 3 - 7 = 2 behind; three if valid */
        {"MIOpenDriver pool -W 1x1x7x7 -v 2 -u 2 -z same -F 1",
         "F maxpool n=1 c=1 h=7 w=7 kernel=3x3 stride=2 pad=0,2,0,2 dilation=1 ceil=0"},
        {"MIOpenDriver pool -W 1x1x8x8 -v 2 -u 2 -z valid -F 1",
         "F maxpool n=1 c=1 h=8 w=8 kernel=3x3 stride=2 pad=0 dilation=1 ceil=0"},
    };
    EXPECT_ALL(pairs);
}

static void miopen_leaves_out(void **state) {
    (void)state;
    static const pair pairs[] = {
        {"./bin/MIOpenDriver poolfp16 -? x", "Fovea has no counterpart to MIOpenDriver poolfp16"},
        {"./bin/MIOpenDriver convint8 -n 1", "Fovea has no counterpart to MIOpenDriver convint8"},
        {"./bin/MIOpenDriver bnorm -F 1", "Fovea has no counterpart to MIOpenDriver bnorm"},
        {"./bin/MIOpenDriver conv -m trans -z same",
         "Fovea has no MIOpenDriver conv with -m trans and -z, a transposed convolution that finds its padding"},
        {"./bin/MIOpenDriver conv -_ 3 -! 16 -@ 3 -# 1 -$ 1 -^ 1 -% 0",
         "Fovea has no MIOpenDriver conv with other than two spatial dimensions"},
        {"./bin/MIOpenDriver conv -U fp8", "Fovea has no MIOpenDriver conv with a cast of its tensors to another type"},
        {"./bin/MIOpenDriver pool -W 1x2x3x4x5", "Fovea has no MIOpenDriver pool with a three-dimensional image"},
        {"./bin/MIOpenDriver pool -d 3", "Fovea has no MIOpenDriver pool with other than two spatial dimensions"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; ++i) {
        char reason[256];
        snprintf(reason, sizeof reason, "list:1: %s", pairs[i][1]);
        expect_left_out(pairs[i][0], reason);
    }
}

static void miopen_refuses(void **state) {
    (void)state;
    static const pair pairs[] = {
        {"MIOpenDriver", "expected an operation"},
        {"MIOpenDriver conv -A 1", "'-A' is not a known option"},
        {"MIOpenDriver conv --batch 1", "'--batch' is not a known option"},
        {"MIOpenDriver conv n 1", "'n' is not a known option"},
        {"MIOpenDriver conv - 1", "'-' is not a known option"},
        {"MIOpenDriver pool -\1 1", "is not a known option"},
        {"MIOpenDriver conv -n5 1", "'-n5' is not a known option"},
        {"MIOpenDriver conv -n 5 -c", "-c (--in_channels): expected a value"},
        {"MIOpenDriver conv -n 5x", "-n 5x (--batchsize): expected a whole number"},
        {"MIOpenDriver conv -n 99999999999999999999", "expected a whole number"},
        {"MIOpenDriver conv -n -9223372036854775808", "expected a whole number"},
        {"MIOpenDriver conv -p -1", "pad -1 must be 0 to"},
        {"MIOpenDriver conv -u 0 -z same", "stride 0 must be 1 to"},
        {"MIOpenDriver conv -g 2", "groups=2 must divide c=3"},
        {"MIOpenDriver conv -F 8", "-F 8: expected 0 to 7"},
        {"MIOpenDriver conv -m trans -Y 1", "output_pad 1 must be at least 0 and below the stride, 1"},
        {"MIOpenDriver conv -m deconv", "-m deconv: expected conv or trans"},
        {"MIOpenDriver conv -z full", "-z full: expected same, valid or default"},
        {"MIOpenDriver pool -m min", "-m min: expected max, avg or avg_in"},
        {"MIOpenDriver pool -W 1x2x3", "-W 1x2x3: expected NxCxHxW"},
        {"MIOpenDriver pool -W 1x2x3x", "expected NxCxHxW"},
        {"MIOpenDriver pool -H 1x2", "-H 1x2: expected NxCxHxW"},
        {"MIOpenDriver pool -W 1x1x4x4 -O 1x1x4x4", "-O 1x1x4x4: expected 1x1x2x2"},
        {"MIOpenDriver pool -W 1x1x2x2", "the window spans 3 pixels"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; ++i)
        expect_refused(pairs[i][0], pairs[i][1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(miopen_commands),
        cmocka_unit_test(miopen_leaves_out),
        cmocka_unit_test(miopen_refuses),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
