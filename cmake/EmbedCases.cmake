# cmake -DOUTPUT=FILE.c "-DINPUTS=a.txt;b.txt" -P EmbedCases.cmake: a C file that holds the bytes of case files, see
# host/cases/builtin.h. Bytes rather than string literals: nothing needs escaping and no length is too long.
set(arrays "")
set(rows "")
set(index 0)
foreach(input IN LISTS INPUTS)
  file(READ "${input}" bytes HEX)
  file(SIZE "${input}" size)
  string(REGEX REPLACE "(................................)" "\\1\n    " bytes "${bytes}") # 16 bytes a line
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  get_filename_component(name "${input}" NAME)
  # The trailing zero is not counted; without it an empty file would be an empty array.
  string(APPEND arrays "static const unsigned char bytes_${index}[] = {\n    ${bytes}0};\n\n")
  string(APPEND rows "    {\"tests/cases/${name}\", bytes_${index}, ${size}},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE "${OUTPUT}" "#include \"cases/builtin.h\"\n\n${arrays}const fv_builtin_text fv_builtin_cases[] = {\n${rows}    {NULL, NULL, 0},\n};\n")
