require ["fileinto", "mailbox"];

if anyof (
    header :matches "X-Spam" "*",
    header :contains "X-Spam-Flag" "YES",
    header :contains "X-Spam-Status" "Yes"
) {
    fileinto :create "Junk";
}
