# In a folder below the task root.
handler() {
    echo sub
}
