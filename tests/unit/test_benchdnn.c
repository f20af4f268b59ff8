/* benchdnn's descriptors and options, against operations written out by hand from oneDNN's documentation. */
#include "dialects.h"

/* Descriptors, most of them from oneDNN's own files. The default batch is 2, the default direction FWD_B. */
static void benchdnn_convolutions(void **state) {
    (void)state;
    static const pair pairs[] = {
        {"ic3oc16_ih5oh5kh3ph1_n\"conv_basic_2d:1st\"",
         "F conv2d n=2 c=3 h=5 w=5 k=16 kernel=3x3 stride=1 pad=1 dilation=1 groups=1 bias=1"},
        /* a stride whose last step does not reach the padding's end: any padding behind does, the symmetric is taken */
        {"ic3oc17_ih8oh4kh3ph1sh2_n\"conv_basic_2d:1st_stride_tail\"",
         "F conv2d n=2 c=3 h=8 w=8 k=17 kernel=3x3 stride=2 pad=1 dilation=1 groups=1 bias=1"},
        {"mb1ic3ih227iw227_oc96oh55ow55_kh11kw11_sh4sw4ph0pw0_n\"alexnet:conv1\"",
         "F conv2d n=1 c=3 h=227 w=227 k=96 kernel=11x11 stride=4 pad=0 dilation=1 groups=1 bias=1"},
        /* one dimension */
        {"ic3oc17_iw8ow4kw3pw1sw2_n\"conv_basic_1d:1st_stride_tail\"",
         "F conv2d n=2 c=3 h=1 w=8 k=17 kernel=1x3 stride=1x2 pad=0x1 dilation=1 groups=1 bias=1"},
        /* three of them, of which the depth is trivial */
        {"mb1_g1_ic16oc16_kd1kh1kw1_id1ih2iw3_od1oh1ow1_sd1sh3sw3_pd0ph0pw0_dd0dh0dw0",
         "F conv2d n=1 c=16 h=2 w=3 k=16 kernel=1x1 stride=3 pad=0 dilation=1 groups=1 bias=1"},
        /* the letters in another order, and height apart from width */
        {"mb2_ic32oc32_iw79ow75kw5sw1pw0_ih41oh16kh10sh2ph0n\"ds2-swap\"",
         "F conv2d n=2 c=32 h=41 w=79 k=32 kernel=10x5 stride=2x1 pad=0 dilation=1 groups=1 bias=1"},
        /* asymmetric: (8-1) + 3 - 5 - 3 = 2 behind */
        {"g1ic16oc16_ih5oh8kh3ph3_n\"conv_basic_2d:gemm\"",
         "F conv2d n=2 c=16 h=5 w=5 k=16 kernel=3x3 stride=1 pad=3,2,3,2 dilation=1 groups=1 bias=1"},
        /* -1 behind by the formula; but the symmetric padding gives the same ten outputs */
        {"mb1_ic9oc3_ih32oh10kh5sh3dh0ph1",
         "F conv2d n=1 c=9 h=32 w=32 k=3 kernel=5x5 stride=3 pad=1 dilation=1 groups=1 bias=1"},
        /* padding deduced: (7-1 - 7 + 3)/2, and (4-1 - 4 + 4)/2 with the rest behind */
        {"mb2_g1ic32oc32_ih7oh7kh3",
         "F conv2d n=2 c=32 h=7 w=7 k=32 kernel=3x3 stride=1 pad=1 dilation=1 groups=1 bias=1"},
        {"ic1ih4oc1oh4kh4", "F conv2d n=2 c=1 h=4 w=4 k=1 kernel=4x4 stride=1 pad=1,2,1,2 dilation=1 groups=1 bias=1"},
        /* output deduced: (1-2)/2 rounds to 0, so there is one */
        {"mb1ic1oc1ih1kh2sh2",
         "F conv2d n=1 c=1 h=1 w=1 k=1 kernel=2x2 stride=2 pad=0,1,0,1 dilation=1 groups=1 bias=1"},
        /* dh0 is dense; the filter spans 35 columns */
        {"mb1ic16ih2iw30oc1oh1ow30kh2kw3ph0pw17dh0dw16n\"bwd-w_check_dilation_padding_1\"",
         "F conv2d n=1 c=16 h=2 w=30 k=1 kernel=2x3 stride=1 pad=0x17 dilation=1x17 groups=1 bias=1"},
        /* ic and oc count the channels of all groups */
        {"g4ic20oc20_ih5oh5kh3ph1_n\"conv_basic_2d:grouped_tail\"",
         "F conv2d n=2 c=20 h=5 w=5 k=20 kernel=3x3 stride=1 pad=1 dilation=1 groups=4 bias=1"},
        {"mb1_g3ic3oc3_ih10oh9kh2sh2dh0ph4",
         "F conv2d n=1 c=3 h=10 w=10 k=3 kernel=2x2 stride=2 pad=4 dilation=1 groups=3 bias=1"},
        /* a name may hold anything but blanks */
        {"ic1oc1ih1kh1noc%simd_width_!=0#_with", "F conv2d n=2 c=1 h=1 w=1 k=1 kernel=1x1 stride=1 pad=0 dilation=1 "
                                                 "groups=1 bias=1"},
    };
    EXPECT_ALL(pairs);
}

static void benchdnn_other_drivers(void **state) {
    (void)state;
    static const pair pairs[] = {
        /* (16-1)*2 - 32 + 3 = 1, of which half, 0, lies in front */
        {"--pool mb8ic32_ih32oh16kh3sh2_n\"pool_ci_2d:regular\"",
         "F maxpool n=8 c=32 h=32 w=32 kernel=3x3 stride=2 pad=0,1,0,1 dilation=1 ceil=0"},
        /* the filter spans 7: 2 + 7 - 3 - 1 = 5 behind */
        {"--pool mb1ic8_ih3oh3_kh3ph1_dh2dw2",
         "F maxpool n=1 c=8 h=3 w=3 kernel=3x3 stride=1 pad=1,5,1,5 dilation=3 ceil=0"},
        {"--pool ic5_iw42ow14kw3sw3pw0_n\"pool_ci_1d:kw_equals_sw\"",
         "F maxpool n=2 c=5 h=1 w=42 kernel=1x3 stride=1x3 pad=0 dilation=1 ceil=0"},
        {"--pool --alg=pooling_max --dir=FWD_I,BWD_D ic1ih4kh2",
         "FD maxpool n=2 c=1 h=4 w=4 kernel=2x2 stride=1 pad=0 dilation=1 ceil=0"},
        /* averages over the padded image and the image's own pixels; a list asks for each */
        {"--pool --alg=avg_p ic1ih4kh2ph1", "F avgpool n=2 c=1 h=4 w=4 kernel=2x2 stride=1 pad=1 dilation=1 ceil=0 "
                                            "include_pad=1"},
        {"--pool --alg=pooling_avg_exclude_padding --dir=BWD_D --mb=3 ic1ih4oh2kh3sh2",
         "D avgpool n=3 c=1 h=4 w=4 kernel=3x3 stride=2 pad=0,1,0,1 dilation=1 ceil=0 include_pad=0"},
        {"--pool --alg=AVG_NP,max,avg_p ic1ih4kh2 --alg= ic1ih3kh3",
         "F maxpool n=2 c=1 h=4 w=4 kernel=2x2 stride=1 pad=0 dilation=1 ceil=0\n"
         "F avgpool n=2 c=1 h=4 w=4 kernel=2x2 stride=1 pad=0 dilation=1 ceil=0 include_pad=1\n"
         "F avgpool n=2 c=1 h=4 w=4 kernel=2x2 stride=1 pad=0 dilation=1 ceil=0 include_pad=0\n"
         "F maxpool n=2 c=1 h=3 w=3 kernel=3x3 stride=1 pad=0 dilation=1 ceil=0"},
        /* 3*2 + 4 - 2*1 = 8 pixels; one fewer in front and behind for (3*2 + 4 - 8)/2 = 1 */
        {"--deconv mb1ic16oc32_ih4kh4sh2ph1",
         "F conv2d_transposed n=1 c=16 h=4 w=4 k=32 kernel=4x4 stride=2 pad=1 dilation=1 output_pad=0 groups=1 bias=1"},
        {"--deconv mb1ic16oc32_ih4oh8kh4sh2",
         "F conv2d_transposed n=1 c=16 h=4 w=4 k=32 kernel=4x4 stride=2 pad=1 dilation=1 output_pad=0 groups=1 bias=1"},
        /* 3*2 + 3 - 1 = 8 without padding behind: one cut off, none, one added; and dilated, 3 + 7 - 2 - 2 */
        {"--deconv --dir=FWD_D ic1oc1ih4oh7kh3sh2ph1",
         "F conv2d_transposed n=2 c=1 h=4 w=4 k=1 kernel=3x3 stride=2 pad=1 dilation=1 output_pad=0 groups=1 bias=0"},
        {"--deconv --dir=BWD_D ic1oc1ih4oh8kh3sh2ph1",
         "D conv2d_transposed n=2 c=1 h=4 w=4 k=1 kernel=3x3 stride=2 pad=1,0,1,0 dilation=1 output_pad=0 groups=1 "
         "bias=0"},
        {"--deconv --dir=BWD_WB --alg=deconvolution_direct g2ic4oc6ih4oh9kh3sh2ph1",
         "W conv2d_transposed n=2 c=4 h=4 w=4 k=6 kernel=3x3 stride=2 pad=1,0,1,0 dilation=1 output_pad=1 groups=2 "
         "bias=1"},
        {"--deconv --dir=FWD_D ic1oc1iw4kw3dw2pw2", "F conv2d_transposed n=2 c=1 h=1 w=4 k=1 kernel=1x3 stride=1 "
                                                    "pad=0x2 dilation=1x3 output_pad=0 groups=1 bias=0"},
        {"--ip mb112ic2048_ih1iw1_oc1000_n\"resnet:ip1\"", "F linear n=112 c=2048 k=1000 bias=1"},
        {"--ip mb32ic64iw3oc1000n\"1d:ip1\"", "F linear n=32 c=192 k=1000 bias=1"},
        {"--ip --dir=BWD_WB ic16ih7oc10", "W linear n=2 c=784 k=10 bias=1"},
        {"--ip mb1ic2id3oc1", "F linear n=1 c=54 k=1 bias=1"},
    };
    EXPECT_ALL(pairs);
}

#define SMALL(n, bias) " conv2d n=" #n " c=1 h=1 w=1 k=1 kernel=1x1 stride=1 pad=0 dilation=1 groups=1 bias=" #bias

static void benchdnn_options(void **state) {
    (void)state;
    static const pair pairs[] = {
        {"--dir=FWD_D ic1oc1ih1kh1", "F" SMALL(2, 0)},
        {"--dir=bwd_d ic1oc1ih1kh1", "D" SMALL(2, 0)},
        {"--dir=BWD_DW ic1oc1ih1kh1", "DW" SMALL(2, 0)},
        {"--dir=FWD_B,BWD_D,BWD_WB ic1oc1ih1kh1", "FDW" SMALL(2, 1)},
        {"--dir=FWD_D,BWD_D,BWD_W ic1oc1ih1kh1", "FDW" SMALL(2, 0)},
        /* both with and without bias: two operations */
        {"--dir=FWD_B,FWD_D ic1oc1ih1kh1", "F" SMALL(2, 1) "\nF" SMALL(2, 0)},
        {"--dir=FWD_D,BWD_D,BWD_WB ic1oc1ih1kh1", "DW" SMALL(2, 1) "\nF" SMALL(2, 0)},
        {"--dir=FWD_I --bia-dt=f32 ic1oc1ih1kh1", "F" SMALL(2, 1)},
        {"--dir=BWD_W --bia-dt=undef,f32 ic1oc1ih1kh1", "W" SMALL(2, 1) "\nW" SMALL(2, 0)},
        /* options hold until they change, for what comes behind them */
        {"mb5ic1oc1ih1kh1 --mb=3 mb5ic1oc1ih1kh1\n--dir=BWD_D\nmb5ic1oc1ih1kh1 --mb=\nmb5ic1oc1ih1kh1 --reset "
         "mb5ic1oc1ih1kh1",
         "F" SMALL(5, 1) "\nF" SMALL(3, 1) "\nD" SMALL(3, 0) "\nD" SMALL(5, 0) "\nF" SMALL(5, 1)},
        {"--mb=0,1,16 mb5ic1oc1ih1kh1", "F" SMALL(5, 1) "\nF" SMALL(1, 1) "\nF" SMALL(16, 1)},
        /* a driver's name begins a new command */
        {"./build/tests/benchdnn/benchdnn --conv -v5 --mode=P --mb=7 ic1oc1ih1kh1\n--conv ic1oc1ih1kh1",
         "F" SMALL(7, 1) "\nF" SMALL(2, 1)},
        /* of layout, choice of implementation, measurement */
        {"--stag=axb --dtag=abx,axb --wtag=any --skip-impl=ref,x64:gemm --attr-scratchpad=user --perf-template=%-time% "
         "--attr-fpmath=tf32 --strides=1x1x1x1:: --attr-post-ops= --alg=direct,wino,AUTO --dt=f32:f32:f32 --cfg=f32 "
         "ic1oc1ih1kh1",
         "F" SMALL(2, 1)},
        {"--match=.*res2.* ic1oc1ih1kh1n\"res3\" mb1ic1oc1ih1kh1n\"res2a\"", "F" SMALL(1, 1)},
        {"--match='.*mb1[^0-9].*' mb10ic1oc1ih1kh1 mb1ic1oc1ih1kh1", "F" SMALL(1, 1)},
        /* a backslash joins words, with or without a blank before it */
        {"--mb=1, \\\n  # a comment\n     2,\\\n   3 ic1oc1ih1kh1",
         "F" SMALL(1, 1) "\nF" SMALL(2, 1) "\nF" SMALL(3, 1)},
    };
    EXPECT_ALL(pairs);
}

/* What Fovea has is kept, the rest is counted, once for each descriptor. */
static void benchdnn_leaves_out(void **state) {
    (void)state;
    /* any one dtype of those that products come in, and that as one case */
    expect_cases("--dt=f32,bf16,f16:f16:f16 --bia-dt=bf16 ic1oc1ih1kh1 mb1ic1oc1ih1kh1",
                 "F" SMALL(2, 1) "\nF" SMALL(1, 1), 0);
    expect_left_out("--dt=bf16:bf16:f32 ic1oc1ih1kh1", "list:1: Fovea has no --dt=bf16:bf16:f32");
    expect_left_out("--pool --dt=bf16 ic1ih1kh1", "list:1: Fovea has no --dt=bf16");
    expect_cases("--dt=f32,bf16,u8:s8:u8 ic1oc1ih1kh1 mb1ic1oc1ih1kh1", "F" SMALL(2, 1) "\nF" SMALL(1, 1), 2);
    expect_cases("--attr-post-ops=,relu,sum:0.5+relu ic1oc1ih1kh1\n--attr-post-ops=relu mb1ic1oc1ih1kh1\n--reset "
                 "mb3ic1oc1ih1kh1",
                 "F" SMALL(2, 1) "\nF" SMALL(3, 1), 2);
    expect_left_out("--dt=s8:s8:f32 ic1oc1ih1kh1", "list:1: Fovea has no --dt=s8:s8:f32");
    expect_left_out("\n--cfg=u8s8f32\nic1oc1ih1kh1", "list:3: Fovea has no --cfg=u8s8f32");
    expect_left_out("--dir=FWD_D --bia-dt=s8 ic1oc1ih1kh1", "list:1: Fovea has no --bia-dt=s8");
    expect_left_out("--attr-scales=src:common:0.25 ic1oc1ih1kh1", "list:1: Fovea has no --attr-scales=src:common:0.25");
    expect_left_out("--attr-acc-mode=f16 ic1oc1ih1kh1", "list:1: Fovea has no --attr-acc-mode=f16");
    expect_left_out("ic1id5oc1kd3", "list:1: Fovea cannot say 'ic1id5oc1kd3': it is three-dimensional");
    expect_left_out("ic1ih10oc1oh4kh1ph0", "list:1: Fovea cannot say 'ic1ih10oc1oh4kh1ph0': its padding is negative");
    expect_left_out("ic1ih10oc1oh4kh1", "list:1: Fovea cannot say 'ic1ih10oc1oh4kh1': its padding is negative");
    expect_left_out("mb1ic1oc1iw4294967311kw3",
                    "list:1: Fovea cannot say 'mb1ic1oc1iw4294967311kw3': an extent of it is too large");
    expect_left_out("--deconv ic1oc1ih4oh10kh3sh2ph1",
                    "list:1: Fovea cannot say 'ic1oc1ih4oh10kh3sh2ph1': its padding is negative");
    expect_left_out("--lrn --unheard-of=1\nic1oc1ih1kh1", "list:2: Fovea has no counterpart to benchdnn's --lrn");
    expect_left_out("--matmul --dt=f32\n16x32:32x16", "list:2: Fovea has no counterpart to benchdnn's --matmul");
}

static void benchdnn_refuses(void **state) {
    (void)state;
    static const pair pairs[] = {
        {"--layout=nchw ic1oc1ih1kh1", "--layout is not a known option"},
        {"-mb=3", "'-mb=3': benchdnn's options begin with --"},
        {"--dt=f23", "--dt=f23: expected data types"},
        {"--alg=fft", "--alg=fft: expected direct, wino or auto"},
        {"--mb=1,x", "--mb=x: expected whole numbers"},
        {"--dir=FWD_B,", "--dir=: expected FWD_B"},
        {"--match=[", "--match=[: expected a basic regular expression"},
        {"--batch=", "--batch: expected the name of a file"},
        {"ic1oc1ih1", "expected ih, kh and sh of at least 1"},
        {"ic1oc1ih1kh3", "ih, kh and ph leave no output"},
        {"ic1oc1ih4kh3sh0", "expected ih, kh and sh of at least 1"},
        {"ic1ih4kh3", "expected oc of at least 1"},
        {"oc1ih4kh3", "expected ic and g of at least 1"},
        {"g0ic1oc1ih4kh3", "expected ic and g of at least 1"},
        {"g3ic4oc4ih4kh3", "groups=3 must divide c=4 and k=4"},
        {"ic1oc1", "expected an image and a window"},
        {"ic1oc1id1kd1ih1kh1", "expected height and width beside the depth"},
        {"ic1oc1ih4kh3kx3", "from 'kx3' on"},
        {"ic1oc1ih4kh-3", "from 'kh-3' on"},
        {"ic1oc1ih4kh3__ph1", "from '_ph1' on"},
        {"--deconv ic1oc1ih1kh2ph1", "ih, kh and ph leave no output"},
        {"--deconv ic1ih1kh2", "expected oc of at least 1"},
        {"--pool --alg=min ic1ih4kh3", "--alg=min: expected direct, wino or auto; max, avg_np or avg_p"},
        {"--pool ic1oc1ih4kh3", "from 'oc1ih4kh3' on"},
        {"--ip ic1oc1kh3", "from 'kh3' on"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; ++i)
        expect_refused(pairs[i][0], pairs[i][1]);
}

/* Files within files: found from the folder of the one that names them, with the state before and after them shared. */
static void benchdnn_batches(void **state) {
    (void)state;
    static const char outer[] = "--dir=BWD_D --batch=inner/list ic1oc1ih1kh1\n";
    static const char middle[] = "--mb=4\n--batch=shapes\n";
    static const char shapes[] = "# shapes\nmb8ic1oc1ih1kh1\n";
    const scratch_name top = scratch_path("outer"), folder = scratch_path("inner");
    assert_int_equal(mkdir(folder.text, 0700), 0);
    scratch_put(top.text, outer, sizeof outer - 1);
    scratch_put(scratch_path("inner/list").text, middle, sizeof middle - 1);
    scratch_put(scratch_path("inner/shapes").text, shapes, sizeof shapes - 1);
    fv_case_list list = {0};
    assert_int_equal(fv_cases_read(&list, top.text), FV_OK);
    assert_int_equal(list.count, 2);
    for (int i = 0; i < 2; ++i) {
        assert_int_equal(list.items[i].op.conv2d.n, 4);
        assert_int_equal(list.items[i].passes, D);
    }
    fv_cases_release(&list);

    char expected[4096];
    scratch_put(scratch_path("inner/shapes").text, "ic1\n", 4);
    assert_int_equal(fv_cases_read(&list, top.text), FV_BAD_INPUT);
    snprintf(expected, sizeof expected, "%s:1: %s/list:2: %s/shapes:1: 'ic1': expected oc", top.text, folder.text,
             folder.text);
    assert_memory_equal(fv_error_message(), expected, strlen(expected));

    scratch_put(scratch_path("inner/shapes").text, "--batch=list\n", 13);
    assert_int_equal(fv_cases_read(&list, top.text), FV_BAD_INPUT);

    scratch_put(scratch_path("loop").text, "--batch=loop\n", 13);
    assert_int_equal(chdir(scratch_folder), 0);
    assert_int_equal(fv_cases_read(&list, "loop"), FV_BAD_INPUT);
    assert_non_null(
        strstr(fv_error_message(), "--batch=loop is the 17th file within another; does one include itself?"));
    assert_int_equal(fv_cases_read(&list, "./outer"), FV_BAD_INPUT);

    scratch_put(top.text, "--batch=absent\n", 15);
    assert_int_equal(fv_cases_read(&list, top.text), FV_BAD_INPUT);
    assert_non_null(strstr(fv_error_message(), "outer:1: cannot read"));
    assert_non_null(strstr(fv_error_message(), "/absent"));
    assert_int_equal(list.count, 0);
    fv_cases_release(&list);
}

/* A short text may say very much; what is too much for any machine is refused before it fills the memory. */
static void benchdnn_stays_within_bounds(void **state) {
    (void)state;
    fv_case_list list = {0};
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    fputs("--mb=1", stream);
    for (int n = 2; n <= 64; ++n)
        fprintf(stream, ",%d", n);
    for (int i = 0; i <= FV_MOST_CASES / 64; ++i)
        fputs("\nic1oc1ih1kh1", stream);
    fclose(stream);
    assert_int_equal(fv_cases_add_lines(&list, "list", text, size), FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), "list:16386: more than 1048576 cases, expected at most that many");
    assert_int_equal(list.count, FV_MOST_CASES);
    fv_cases_release(&list);
    free(text);

    /* Thirteen files, each of which names the next one twice. */
    char line[64];
    for (int i = 0; i < 13; ++i) {
        snprintf(line, sizeof line, "twice%d", i);
        const scratch_name path = scratch_path(line);
        const int length = snprintf(line, sizeof line, "--batch=twice%d --batch=twice%d\n", i + 1, i + 1);
        scratch_put(path.text, line, i < 12 ? (size_t)length : 0);
    }
    assert_int_equal(fv_cases_read(&list, scratch_path("twice1").text), FV_OK); /* 2^12 - 2 files */
    assert_int_equal(fv_cases_read(&list, scratch_path("twice0").text), FV_BAD_INPUT);
    assert_non_null(strstr(fv_error_message(), " is one file more than the 4096 that a list may read"));
    fv_cases_release(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(benchdnn_convolutions),
        cmocka_unit_test(benchdnn_other_drivers),
        cmocka_unit_test(benchdnn_options),
        cmocka_unit_test(benchdnn_leaves_out),
        cmocka_unit_test(benchdnn_refuses),
        cmocka_unit_test(benchdnn_batches),
        cmocka_unit_test(benchdnn_stays_within_bounds),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
