# cmake -DOUTPUT=FILE.c -DARRAY=NAME -DFOLDER=DIR "-DINPUTS=a.txt;b.txt" -P EmbedCases.cmake: a C file that holds the bytes
# of the case files of a folder as an array of host/cases/builtin.h. Bytes rather than string literals: nothing needs
# escaping and no length is too long.
set(arrays "")
set(rows "")
set(index 0)
foreach(input IN LISTS INPUTS)
  file(READ "${input}" bytes HEX)
  file(SIZE "${input}" size)
  string(REGEX REPLACE "(................................)" "\\1\n    " bytes "${bytes}") # 16 bytes a line
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  get_filename_component(name "${input}" NAME_WE)
  # The trailing zero is not counted; without it an empty file would be an empty array.
  string(APPEND arrays "static const unsigned char bytes_${index}[] = {\n    ${bytes}0};\n\n")
  string(APPEND rows "    {\"${FOLDER}/${name}.txt\", \"${name}\", bytes_${index}, ${size}},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE "${OUTPUT}" "#include \"cases/builtin.h\"\n\n${arrays}const fv_builtin_text ${ARRAY}[] = {\n${rows}    {NULL, NULL, NULL, 0},\n};\n")
